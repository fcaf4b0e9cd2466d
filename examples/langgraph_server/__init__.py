"""An agent on a LangGraph server, and a client: one trace over both."""
