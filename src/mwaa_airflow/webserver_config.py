"""Settings of Flask-AppBuilder, the web server of 2.x and the FAB auth manager of 3.x (spec/10 section 7.9)."""

from mwaa_airflow import environment

#: Value of ``MWAA__CORE__AUTH_TYPE`` for sign-in with IAM, through a plugin that MWAA adds.
IAM = "mwaa-iam"

#: Value of ``MWAA__CORE__AUTH_TYPE`` for no sign-in at all.
NOBODY = "none"


def build():
    """Return the settings as a dictionary.

    Raises:
        ImportError: IAM sign-in is asked for, but the plugin ``aws_mwaa`` is not there.
    """
    from flask_appbuilder.const import AUTH_DB, AUTH_REMOTE_USER

    kind = environment.text("MWAA__CORE__AUTH_TYPE").lower()
    settings = {
        "AUTH_TYPE": AUTH_DB,
        "WTF_CSRF_ENABLED": environment.flag("MWAA__WEBSERVER__WTF_CSRF_ENABLED", True),
        # Flask-WTF's token would otherwise end after an hour on an open page, as in Airflow's own default.
        "WTF_CSRF_TIME_LIMIT": None,
    }
    if kind == IAM:
        from aws_mwaa.iam import IamSecurityManager

        settings["AUTH_TYPE"] = AUTH_REMOTE_USER
        settings["SECURITY_MANAGER_CLASS"] = IamSecurityManager
    elif kind == NOBODY and environment.airflow_version() < (3,):
        settings["AUTH_ROLE_PUBLIC"] = "Admin"
    return settings
