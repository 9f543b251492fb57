"""What the tests of the mock ask it to do."""

TOOL_WORDS = 'reasoning=2 say="Both at once." tool=add {"a": [1, "ü"]} tool=now parallel cached=3'
SCHEMA = {"type": "object", "properties": {"a": {"type": "array"}}}
