"""A conversation's history at the provider: changed, copied and written out."""
