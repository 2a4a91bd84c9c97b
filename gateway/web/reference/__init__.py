"""What every route takes and gives: one row a route here, served as /openapi.json and as the page /docs."""
