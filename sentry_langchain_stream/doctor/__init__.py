"""The doctor: is this application's Sentry set up so that AI spans arrive, and are right?

    command -> application   the user's own initialisation, or a plain one
               probe         a streamed answer through the real handler and the application's own client
               environment   checks of versions and of what stands in the environment
               setup         checks of the client and its options
               received      checks of what the probe would have sent
               delivery      sends it, and notes the server's answer
               case          what the checks look at
               findings      what each of them says

Needs no extra: whoever wants to know stands in production.
"""
