"""Which official clients for Python are installed."""

import json

import boto3
import openai

print(json.dumps({"boto3": boto3.__version__, "openai": openai.__version__}))
