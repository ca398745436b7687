"""The door inside the user's process: what its HTTP clients send to models, watched and never changed.

`transports` wraps each HTTP transport once; a wrapper tells an `Observer` what it sees (`watching`), under one `guard`.
Out: Calls with ids and with who is asking (`context`), handed on as soon as an attempt has ended, however it ended.
What it must never know: prices, where Calls go, a provider's field names.
Only the standard library is needed; a client library is touched only where the process already has it.
"""
