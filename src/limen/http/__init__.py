"""HTTP: how a request becomes a principal, and how a refusal becomes an answer."""
