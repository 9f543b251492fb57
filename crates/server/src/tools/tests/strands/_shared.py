PREFIX = "found "
