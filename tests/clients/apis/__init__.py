"""Six streaming APIs: what each sends, and how a user asks it with the client library and with LangChain's class."""

from tests.clients.apis.anthropic import ANTHROPIC
from tests.clients.apis.bedrock import BEDROCK
from tests.clients.apis.gemini import GEMINI
from tests.clients.apis.ollama import OLLAMA
from tests.clients.apis.openai_chat import CHAT
from tests.clients.apis.openai_responses import RESPONSES

APIS = (CHAT, RESPONSES, ANTHROPIC, GEMINI, BEDROCK, OLLAMA)
