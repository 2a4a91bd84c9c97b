-- Where the ticket stands.
advance()
return standing()
