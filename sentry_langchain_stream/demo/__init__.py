"""The demo: a streaming service, a model that it calls over HTTP, and the spans that Sentry receives.

    cli -> story -> app        the service, as a user would write it
                    endpoint   an OpenAI-compatible API on loopback, for machines without a key
                    api        chooses between OpenAI's API and that endpoint
                    serve      runs an app on loopback
                    capture    keeps what is sent to Sentry
                    spotlight  talks to Spotlight, Sentry's local viewer
                    reader     the service's HTTP client
                    verdict    checks whether the spans are correct
                    show       prints all of it on a terminal

Needs the extra `demo`. The tests use `endpoint` and `serve` as a test server, and the examples run on these modules.
"""
