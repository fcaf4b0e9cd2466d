"""A dashboard, monitors and an alert for Sentry, over the attributes that this package sends."""
