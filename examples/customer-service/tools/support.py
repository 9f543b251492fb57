"""What the support assistant can do. Ordinary Strands tools; replace the data below by calls of your own systems."""
import uuid

from strands import tool

ORDERS = {
    "1041": {"status": "delivered", "item": "Garden hose, 20 m", "on": "2026-11-02"},
    "1042": {"status": "on its way", "item": "Pruning shears", "expected": "2026-11-25"},
}
POLICIES = {
    "delivery": "Orders leave within two working days and arrive three to five working days later. Over 50 EUR it is free.",
    "returns": "Within 30 days, unused, in the original box. The label is in the parcel; money is paid back within 14 days.",
    "warranty": "Two years on everything, ten on hand tools. Keep the invoice.",
}


@tool
def order_status(number: str) -> dict:
    """Tells where an order is.

    Args:
        number: The order's number, as on the invoice
    """
    order = ORDERS.get(number.strip().lstrip("#"))
    if order is None:
        return {"status": "error", "content": [{"text": f"There is no order {number}."}]}
    return {"status": "success", "content": [{"json": {"number": number, **order}}]}


@tool
def shop_policy(topic: str) -> str:
    """Gives the shop's rules on a topic: delivery, returns or warranty.

    Args:
        topic: delivery, returns or warranty
    """
    return POLICIES.get(topic.strip().lower(), "There are rules on: " + ", ".join(POLICIES) + ".")


@tool
def open_ticket(subject: str, summary: str) -> str:
    """Hands the matter over to a person, who answers by e-mail.

    Args:
        subject: A few words
        summary: What the customer wants, and what was found out so far
    """
    return f"Ticket {uuid.uuid4().hex[:8]} is open: {subject}"
