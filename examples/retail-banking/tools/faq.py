"""Finds passages of faq.md by their words (BM25), with nothing but Python. For a large body of text use the built-in
`retrieve` with a Bedrock knowledge base, or an MCP server of your search engine."""
import math
import re
from collections import Counter
from pathlib import Path

from strands import tool

STOP = set("a an and are as at be by can do does for from how i if in is it me my of on or the to we what when you".split())


def words(text):
    """The words that count, with plural and verb endings off, so that `cards` finds `card`."""
    found = (word for word in re.findall(r"[a-z0-9]+", text.lower()) if word not in STOP)
    return [re.sub(r"(ing|ed|s)$", "", word) if len(word) > 4 else word.rstrip("s") for word in found]


def sections(text):
    parts = re.split(r"^# +(.+)$", text, flags=re.MULTILINE)[1:]
    return [(title.strip(), " ".join(body.split())) for title, body in zip(parts[::2], parts[1::2])]


SECTIONS = sections((Path(__file__).resolve().parent.parent / "faq.md").read_text(encoding="utf-8"))
COUNTS = [Counter(words(f"{title} {title} {body}")) for title, body in SECTIONS]
LENGTH = sum(sum(count.values()) for count in COUNTS) / len(COUNTS)


def score(query, counts):
    total = 0.0
    for word in query:
        holding = sum(1 for other in COUNTS if word in other)
        rarity = math.log(1 + (len(COUNTS) - holding + 0.5) / (holding + 0.5))
        often = counts[word]
        total += rarity * often * 2.2 / (often + 1.2 * (0.25 + 0.75 * sum(counts.values()) / LENGTH))
    return total


@tool
def search_faq(question: str) -> dict:
    """Searches the bank's published answers about products, fees and rules.

    Args:
        question: What to look for, in plain words
    """
    query = words(question)
    ranked = sorted(((score(query, counts), section) for counts, section in zip(COUNTS, SECTIONS)), reverse=True)
    found = [{"heading": title, "text": body} for points, (title, body) in ranked[:3] if points > 0]
    return {"status": "success", "content": [{"json": {"passages": found}}]}
