"""How a call travels: the only places that know a colour."""
