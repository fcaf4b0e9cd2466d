"""The demo: a streaming service, a model behind it over real HTTP, and the spans that Sentry receives.

    cli -> story -> app        the service, as a user would write it
                    endpoint   an OpenAI-compatible API on loopback, for machines without a key
                    api        OpenAI's API, or that endpoint in its place
                    serve      runs an app on loopback
                    capture    keeps what is sent to Sentry
                    spotlight  Sentry's viewer for one's own machine
                    reader     the service's client
                    verdict    whether the spans are right
                    show       all of it on a terminal

Needs the extra `demo`. The endpoint and `serve` also serve as a test server, and the examples are run on these parts.
"""
