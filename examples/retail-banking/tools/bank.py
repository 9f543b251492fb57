"""The account of whoever is signed in."""
import os
from contextlib import closing
from datetime import date

from _database import connect, customer
from strands import tool


def euros(cents):
    return f"{cents / 100:.2f} EUR"


def refused(why):
    return {"status": "error", "content": [{"text": why}]}


@tool
def balance() -> str:
    """Tells how much money is in the customer's account."""
    with closing(connect()) as db:
        row = db.execute("SELECT cents FROM account WHERE customer = ?", (customer(),)).fetchone()
    return euros(row[0]) if row else refused("There is no account.")


@tool
def transactions(since: str = "", until: str = "", search: str = "", limit: int = 20) -> dict:
    """Lists the customer's transactions, newest first.

    Args:
        since: The first day, as YYYY-MM-DD
        until: The last day, as YYYY-MM-DD
        search: Only those whose text has this in it
        limit: How many at most
    """
    with closing(connect()) as db:
        rows = db.execute(
            "SELECT day, text, cents FROM entry WHERE customer = ? AND day >= ? AND day <= ? AND instr(lower(text), ?) > 0"
            " ORDER BY day DESC, id DESC LIMIT ?",
            # An empty search is in every text: instr() gives 1 for it.
            (customer(), since, until or "9999", search.lower(), max(1, min(limit, 100)))).fetchall()
    found = [{"day": day, "text": text, "amount": euros(cents)} for day, text, cents in rows]
    return {"status": "success", "content": [{"json": {"transactions": found}}]}


@tool(context=True)
def transfer(recipient: str, euros_amount: float, tool_context, purpose: str = "") -> str:
    """Sends money from the customer's account to another customer of the bank. The customer is asked for consent.

    Args:
        recipient: The name of the account's holder
        euros_amount: How much, in EUR
        purpose: What for
    """
    cents = round(euros_amount * 100)
    if cents <= 0:
        return refused("The amount must be more than nothing.")
    payer = customer()
    # Ids of calls are the model's, and unique in a conversation at best.
    conversation, number = os.environ.get("CURRENT_SESSION_ID", ""), tool_context.tool_use["toolUseId"]
    call = f"{conversation}/{number}/{recipient.lower()}/{cents}"
    with closing(connect()) as db:
        db.execute("BEGIN IMMEDIATE")
        try:
            if db.execute("SELECT 1 FROM entry WHERE call = ?", (call,)).fetchone():
                db.execute("ROLLBACK")
                return "This transfer was made already."
            to = db.execute("SELECT customer, holder FROM account WHERE lower(holder) = lower(?)", (recipient,)).fetchone()
            have = db.execute("SELECT cents FROM account WHERE customer = ?", (payer,)).fetchone()
            problem = None
            if to is None:
                problem = f"There is no account of {recipient}."
            elif have is None or have[0] < cents:
                problem = "There is not enough money in the account."
            if problem:
                db.execute("ROLLBACK")
                return refused(problem)
            today = date.today().isoformat()
            db.execute("UPDATE account SET cents = cents - ? WHERE customer = ?", (cents, payer))
            db.execute("UPDATE account SET cents = cents + ? WHERE customer = ?", (cents, to[0]))
            # The call makes it happen once, however often it is repeated after a crash.
            db.execute("INSERT INTO entry (customer, day, text, cents, call) VALUES (?, ?, ?, ?, ?)",
                       (payer, today, f"To {to[1]}: {purpose}".rstrip(": "), -cents, call))
            db.execute("INSERT INTO entry (customer, day, text, cents) VALUES (?, ?, ?, ?)",
                       (to[0], today, f"Transfer: {purpose}".rstrip(": "), cents))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
    return f"{euros(cents)} were sent to {to[1]}."
