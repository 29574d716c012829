"""The guards that Brain applies to an intent: ``table`` has their order, ``checks`` and ``sizing`` their rules."""
