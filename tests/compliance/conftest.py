from tests.compliance.site import site

__all__ = ["site"]
