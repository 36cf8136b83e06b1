"""Rules about the startup script (spec/04 sections 8-9, spec/10 section 3)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from preflight_support import hits, outcomes, script, workspace, write

from mwaa_local.preflight.findings import Unchecked
from mwaa_local.preflight.readings import components, shell
from mwaa_local.preflight.workspace import Workspace

# rule, script, line, words; scripts without that fault
CASES = [
    ("SUP001", "echo a\nif true; then\necho b\n", 4, "unexpected end of file", ["if true; then\necho b\nfi\n", "[[ $A == b ]] && echo c\n"]),
    ("SUP002", "echo a\r\nexport B=1\r\n", 1, "CRLF", ["echo a\nexport B=1\n"]),
    ("SUP003", "echo\nset -e\n", 2, "set -e", ["set +e\nset -x\n", "bash -c 'set -e; true'\n"]),
    ("SUP003", "set -o nounset\n", 1, "set -u", ["set -o pipefail\n", "( set -e; false )\n"]),
    ("SUP004", "exec python3 x.py\n", 1, "exec python3", ["exec > /tmp/log\n", "( exec true )\n", "exit 3\n"]),
    ("SUP004", "builtin exit 0\n", 1, "past MWAA's own exit", ["return 0\n"]),
    ("SUP005", "export AIRFLOW__CORE__EXECUTOR=LocalExecutor\n", 1, "AIRFLOW__CORE__EXECUTOR is reserved", ["export ENVIRONMENT_STAGE=dev\n", "AIRFLOW_HOME=/x\necho $AIRFLOW_HOME\n"]),
    ("SUP005", "A=1\nexport PYTHONPATH=/x\n", 2, "PYTHONPATH is reserved", ["export LD_LIBRARY_PATH=/x\n"]),
    ("SUP005", "export MWAA__CORE__X=1\n", 1, "MWAA__CORE__X is reserved", ["echo $MWAA__CORE__X\n"]),
    ("SUP006", "sudo yum update -y\n", 1, "--exclude=python*", ["sudo yum update -y --exclude=python*\n", "sudo yum update -y --exclude python*\n", "sudo yum update -y libaio\n", "# sudo yum update\n", "cat <<EOF\nyum update\nEOF\n"]),
    ("SUP007", "wget https://example.com/a\n", 1, "wget is not in MWAA's image", ["curl -O https://example.com/a\n", "sudo dnf install -y wget\nwget https://example.com/a\n", "echo wget\n", "if command -v wget; then wget x; fi\n"]),
    ("SUP007", "A=$(which python3)\n", 1, "which is not in", ["A=$(command -v python3)\n"]),
    ("SUP007", "tar xzf /tmp/a.tgz\n", 1, "tar is not in", ["unzip /tmp/a.zip\n"]),
    ("SUP007", "sudo apt-get install -y gcc\n", 1, "apt-get is not in", ["sudo dnf install -y gcc\n"]),
    ("SUP009", "sleep 200\nsleep 100\n", 2, "slept 300 s", ["sleep 200\n", "sleep 400 &\n"]),
    ("SUP009", "while true; do\n  sleep 1\ndone\n", 1, "without an end", ["while true; do\n  sleep 1; break\ndone\n", "while read -r line; do echo $line; done < /tmp/x\n"]),
    ("SUP009", "tail -f /tmp/log\n", 1, "never ends", ["tail -n 5 /tmp/log\n", "tail -f /tmp/log &\n"]),
    ("SUP009", "read -p 'name? ' NAME\n", 1, "somebody to type", ["echo a | read A\n", "read -t 1 A\n"]),
    ("SUP010", "sudo yum install gcc\n", 1, "asks for a yes", ["sudo yum install -y gcc\n", "sudo yum -y install gcc\n", "yes | sudo yum install gcc\n", "yum list installed\n"]),
    ("SUP011", "dnf install -y gcc\n", 1, "needs root", ["sudo dnf install -y gcc\n", "yum list installed\n"]),
    ("SUP011", "echo x > /etc/profile.d/a.sh\n", 1, "belongs to root", ["echo x > /tmp/a\n", "echo x | sudo tee /etc/a\n", "echo x > /usr/local/airflow/a\n", "echo x > /dev/null\n"]),
    ("SUP011", "mkdir -p /opt/tools\n", 1, "belongs to root", ["mkdir -p tools\n", "cp /etc/hosts /tmp/x\n"]),
    ("SUP012", "sudo dnf install -y python3.13\n", 1, "does not change the Python", ["sudo dnf install -y python3-devel\n"]),
    ("SUP012", "sudo ln -sf /usr/bin/python3.9 /usr/local/bin/python3\n", 1, "must stay", ["ln -s a b\n"]),
    ("SUP013", "export PIP_INDEX_URL=https://pypi.example.com/simple\n", 1, "replaces the public index", ["export PIP_EXTRA_INDEX_URL=https://pypi.example.com/simple\n"]),
    ("SUP014", "cp /tmp/a /usr/local/airflow/dags/a\n", 1, "mirrors the bucket", ["cp /usr/local/airflow/dags/a /tmp/a\n", "mkdir -p mydags\n"]),
    ("SUP014", "echo x > $AIRFLOW_HOME/dags/x\n", 1, "mirrors the bucket", ["ls dags\n"]),
    ("SUP015", "export PATH=/opt/bin\n", 1, "PATH becomes", ["export PATH=/opt/bin:$PATH\n", "export PATH=\"${PATH}:/opt/bin\"\n"]),
    ("SUP016", "pip3 install requests\n", 1, "knows nothing of MWAA's constraints", ["pip3 install -c constraints.txt requests\n", "source venv/bin/activate\npip install requests\n", "./venv/bin/pip install requests\n", "pip list\n"]),
    ("SUP016", "export DBT_VENV_PATH=/usr/local/airflow/dbt\n/usr/local/airflow/.local/bin/pip install requests\n", 2, "knows nothing", ["python3 -m venv ${DBT_VENV_PATH}\n${DBT_VENV_PATH}/bin/pip install dbt-core\n", '"$X"/bin/python -m pip install dbt\n', "$HOME/dbt/bin/python3.11 -m pip install dbt\n", "dbt/bin/pip3.11 install dbt\n", "/opt/tools/bin/pip install dbt\n"]),
    ("SUP016", "python3 -m pip install requests\n", 1, "knows nothing", ["python3 -m pip --version\n", "python3 -m venv x && . x/bin/activate && pip install requests\n", "pip install --target=/usr/local/airflow/lib requests\n", "pip install -cc.txt requests\n", "PIP_CONSTRAINT=/c.txt pip install requests\n", "pip --python /x/bin/python install requests\n"]),
    ("SUP016", "( source x/bin/activate; pip install a )\npip install --user b\n", 2, "knows nothing", ['export VIRTUAL_ENV=/x\nexport PATH="$VIRTUAL_ENV/bin:$PATH"\npip install b\n', 'PATH="$DBT/bin:$PATH" pip install b\n', "export PATH=/x/bin:$PATH\npip install b\n"]),
    ("SUP016", "export PATH=$HOME/.local/bin:$PATH\nsource x/bin/activate\npip install a\ndeactivate\npip install b\n", 5, "knows nothing", []),
    ("SUP016", "pip3 install -c x celery==5.3\n", 1, "celery is one of the packages", ["pip3 install -c x cowsay\n"]),
    ("SUP017", "STAGE=dev\n", 1, "STAGE is set, never used", ["export STAGE=dev\n", "STAGE=dev\nexport STAGE\n", "STAGE=dev\necho $STAGE\n", "STAGE=dev ./run\n", "set -a\nSTAGE=dev\n"]),
    ("SUP018", "#!/usr/bin/env python3\nprint(1)\n", 1, "asks for python3", ["#!/bin/sh\n", "#!/usr/bin/env bash\n", "echo\n"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "bad", "line", "words", "good"), CASES, ids=[f"{case[0]}-{case[3][:20]}" for case in CASES]
)
def test_rule(rule: str, bad: str, line: int, words: str, good: list[str], tmp_path: Path) -> None:
    found = hits(rule, workspace(tmp_path / "bad", script(bad)))
    assert [(item.line, item.file and item.file.name) for item in found] == [(line, "startup.sh")], found
    assert words in found[0].message
    for number, text in enumerate(good):
        assert not hits(rule, workspace(tmp_path / f"good{number}", script(text))), text


def test_the_guides_own_samples_are_clean(tmp_path: Path) -> None:
    """The scripts of spec/04 section 8.3, per-component install under #!/bin/sh with a bash test included."""
    text = (
        "#!/bin/sh\n"
        'echo "Printing Apache Airflow component"\necho $MWAA_AIRFLOW_COMPONENT\n'
        "sudo yum update -y --exclude=python*\n"
        'if [[ "${MWAA_AIRFLOW_COMPONENT}" != "webserver" ]]\nthen\n sudo yum -y install libaio\nfi\n'
        "export PYTHON_VERSION_CHECK=`python -c 'import sys; version=sys.version_info[:3]; print(\"{0}.{1}.{2}\".format(*version))'`\n"
        'echo "Python version is $PYTHON_VERSION_CHECK"\n'
        'export ENVIRONMENT_STAGE="development"\necho "$ENVIRONMENT_STAGE"\n'
        "export LD_LIBRARY_PATH=/usr/local/airflow/plugins/your-custom-binary\n"
    )
    space = workspace(tmp_path, script(text) | {"mwaa.yaml": "WebserverAccessMode: PUBLIC_ONLY\n"})
    from mwaa_local.preflight import registry

    for rule in registry.rules():
        if rule.id.startswith("SUP") and rule.id != "SUP019":
            assert not outcomes(rule.id, space), rule.id


PRIVATE = {"mwaa.yaml": "WebserverAccessMode: PRIVATE_ONLY\n"}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("sudo dnf install -y gcc\n", [1]),
        ('if [[ $MWAA_AIRFLOW_COMPONENT != "webserver" ]]; then\nsudo dnf install -y gcc\nfi\n', []),
        ('if [[ $MWAA_AIRFLOW_COMPONENT == "webserver" ]]; then\ncurl x\nelse\ncurl y\nfi\n', [2]),
        ('[[ "$MWAA_AIRFLOW_COMPONENT" == "worker" ]] || exit 0\ncurl x\n', []),
        ('if [ "$MWAA_AIRFLOW_COMPONENT" = "webserver" ]; then exit 0; fi\ncurl x\n', []),
        ('case "$MWAA_AIRFLOW_COMPONENT" in\n worker|scheduler) curl x ;;\n *) echo ;;\nesac\ncurl y\n', [5]),
        ("echo dnf install\npip install --no-index --find-links /usr/local/airflow/plugins x\n", []),
    ],
)
def test_downloads_on_a_private_web_server(text: str, lines: list[int], tmp_path: Path) -> None:
    assert [item.line for item in hits("SUP008", workspace(tmp_path, script(text) | PRIVATE))] == lines


def test_downloads_are_fine_on_a_public_web_server(tmp_path: Path) -> None:
    assert not hits(
        "SUP008", workspace(tmp_path, script("curl x\n") | {"mwaa.yaml": "WebserverAccessMode: PUBLIC_ONLY\n"})
    )


def test_a_byte_order_mark(tmp_path: Path) -> None:
    (found,) = hits("SUP002", workspace(tmp_path, {"startup/startup.sh": b"\xef\xbb\xbfecho a\n"}))
    assert "byte order mark" in found.message


def test_shellcheck_speaks_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "bin" / "shellcheck"
    write(
        tmp_path,
        {
            "bin/shellcheck": '#!/bin/sh\ncat > /dev/null\necho \'[{"code": 2154, "level": "warning", "line": 2, "message": "B is referenced but not assigned."}]\'\n'
        },
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")
    (found,) = hits("SUP019", workspace(tmp_path, script("A=1\necho $B\n")))
    assert (found.line, found.message) == (2, "SC2154: B is referenced but not assigned.")
    write(tmp_path, {"bin/shellcheck": "#!/bin/sh\ncat > /dev/null\necho '[]'\n"})
    assert not outcomes("SUP019", workspace(tmp_path, script("A=1\n")))
    write(tmp_path, {"bin/shellcheck": "#!/bin/sh\necho broken >&2\nexit 4\n"})
    (missed,) = outcomes("SUP019", workspace(tmp_path, script("A=1\n")))
    assert isinstance(missed, Unchecked)
    assert missed.why == "broken\n"


def test_no_script_no_findings(tmp_path: Path) -> None:
    from mwaa_local.preflight import registry

    space = workspace(tmp_path, {})
    assert not [item for rule in registry.rules() if rule.id.startswith("SUP") for item in outcomes(rule.id, space)]


def test_exports_are_read_without_running_the_script(tmp_path: Path) -> None:
    from mwaa_local.preflight.imports import startup_variables

    canary = tmp_path / "ran"
    space: Workspace = workspace(
        tmp_path, script(f"touch {canary}\nexport A='x y' B=$(date)\nC=3\nexport C\nexport AIRFLOW_HOME=/x PATH=/y\n")
    )
    assert startup_variables(space.startup, "3.2.1") == {"A": "x y", "B": "mwaa-local-validate", "C": "3"}
    assert not canary.exists()


def test_reading_shell_text() -> None:
    found = shell.commands('a "b c" && d | e # f\ncat <<X\nnot a command\nX\ng=$(h i) j \\\n k > /l 2>&1\n(m) && n\n')
    assert [command.words for command in found] == [
        ["a", "b c"],
        ["d"],
        ["e"],
        ["cat"],
        ["h", "i"],
        ["j", "k"],
        ["m"],
        ["n"],
    ]
    assert [command.line for command in found] == [1, 1, 1, 2, 5, 5, 7, 7]
    assert found[5].assignments == [("g", "$(h i)")]
    assert found[5].redirects[0] == "/l"
    assert [command.subshell for command in found] == [0, 0, 0, 0, 1, 0, 1, 0]


@pytest.mark.parametrize("text", ["'open", '"open $(', "$(", "`", "<<", "((", "a\\", "${", "&>", "\0", "))"])
def test_half_a_script_is_read_to_its_end(text: str) -> None:
    """What stands before it is known, and what follows a half line is not lost without a trace."""
    found = shell.commands(f"export STAGE=dev\n{text}")
    components.assign(found)
    assert found[0].words == ["export", "STAGE=dev"] or found[0].assignments == [("STAGE", "dev")]
    assert [command.line for command in found][:1] == [1]
    assert all(command.line == 2 for command in found[1:])


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_does_not_run_what_it_parses(tmp_path: Path) -> None:
    canary = tmp_path / "ran"
    assert not hits("SUP001", workspace(tmp_path, script(f"touch {canary}\n")))
    assert not canary.exists()


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("mkdir -p /opt/a /tmp/b /opt/c\n", ["/opt/a", "/opt/c"]),
        ("touch /etc/a\n", ["/etc/a"]),
        ("rm -f /etc/a /etc/b\n", ["/etc/a", "/etc/b"]),
        ("chmod 755 /opt/a /opt/b\n", ["/opt/a", "/opt/b"]),
        ("chmod /opt/reference\n", []),
        ("tee -a /etc/a\n", ["/etc/a"]),
        ("ln -s /etc/a /opt/b\n", ["/opt/b"]),
        ("cp /etc/a /etc/b /tmp\n", []),
        ("cp /tmp/a /opt/b\n", ["/opt/b"]),
        ("mv /opt/a /tmp/b\n", []),
        ("mv /tmp/b /opt/a\n", ["/opt/a"]),
        ("install /etc/a /opt/a\n", ["/opt/a"]),
        ("install /etc/a /tmp/a\n", []),
        ("echo > /var/tmp/a\n", []),
        ("sudo cp /tmp/a /opt/b\n", []),
    ],
)
def test_what_a_command_writes_to(text: str, targets: list[str], tmp_path: Path) -> None:
    found = hits("SUP011", workspace(tmp_path, script(text)))
    assert [item.message.partition(" belongs")[0] for item in found] == targets


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("chown airflow /opt/a\n", True), ("chown airflow mine\n", False), ("dnf list\n", False), ("rpm -qa\n", False),
        ("rpm -i x.rpm\n", True), ("ldconfig\n", True), ("sudo ldconfig\n", False), ("yum check-update\n", False),
    ],
)  # fmt: skip
def test_commands_that_need_root(text: str, found: bool, tmp_path: Path) -> None:
    assert bool(hits("SUP011", workspace(tmp_path, script(text)))) is found
