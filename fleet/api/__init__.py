"""The fleet's API for other programs: versioned, paged, described by OpenAPI."""

ROOT = "/api/v1"
