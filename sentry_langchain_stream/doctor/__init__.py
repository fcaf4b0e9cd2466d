"""The doctor checks whether an application's Sentry is set up so that AI spans arrive and are correct.

    command -> application   runs the application's own initialisation, or a plain one
               probe         streams an answer through the real handler and the application's own client
               environment   checks versions and environment variables
               setup         checks the client and its options
               received      checks what the probe would have sent
               delivery      sends the probe, and records the server's answer
               case          the input of the checks
               findings      the result of a check

Needs no extra, because it runs in production.
"""
