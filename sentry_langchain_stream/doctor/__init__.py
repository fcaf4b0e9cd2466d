"""The doctor checks whether an application's Sentry is set up so that AI spans arrive and are correct.

    command -> application   runs the application's own initialisation, or a plain one
               probe         streams an answer through the real handler and the application's own client
               made          finds the handlers and models that the application has made
               own_chain     streams a probe through the application's own chain
               providers     answers from a script in place of the models' providers
               runs          checks handlers and the chain
               content       checks whether prompts and answers are recorded
               environment   checks versions and environment variables
               setup         checks the client and its options
               received      checks what the probe would have sent
               delivery      sends the probe, and records the server's answer
               case          the input of the checks
               findings      the result of a check

Needs no extra, because it runs in production.
"""
