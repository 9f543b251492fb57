"""Which official clients for Python are installed. Each is loaded, so that a broken installation is noticed here."""

import json
from importlib.metadata import version

import a2a.client
import boto3
import openai

loaded = {"a2a-sdk": a2a.client.ClientFactory, "boto3": boto3.client, "openai": openai.OpenAI}
assert all(callable(part) for part in loaded.values())
print(json.dumps({name: version(name) for name in loaded}))
