from strands import tool

VALUE = {}["missing"]


@tool
def never_either() -> str:
    """Never."""
    return VALUE
