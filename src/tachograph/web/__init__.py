"""The JSON API: questions in, answers out. What it must never know: SQL, providers, prices."""
