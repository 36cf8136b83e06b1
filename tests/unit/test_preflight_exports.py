"""What a startup script exports on each component, told without running it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from mwaa_local.preflight.readings import shell_run
from mwaa_local.preflight.readings.shell_run import Exports
from mwaa_local.preflight.readings.shell_state import Surroundings


def exports(text: str, component: str = "scheduler", folders: dict[str, Path] | None = None) -> Exports:
    given = {"MWAA_AIRFLOW_COMPONENT": component, "AIRFLOW_HOME": "/usr/local/airflow", "HOME": "/usr/local/airflow"}
    return shell_run.exports(text, Surroundings(given, folders or {}))


def certain(text: str, component: str = "scheduler") -> dict[str, str | None]:
    """Names that are exported for certain, each with its value where there is one only."""
    found = exports(text, component)
    assert not found.open_line, found
    return {
        name: item.values[0] if len(item.values) == 1 else None
        for name, item in found.variables.items()
        if not item.unset and item.exported == {True}
    }


C = "$MWAA_AIRFLOW_COMPONENT"
# script; what is exported for certain on scheduler and on worker
CASES = {
    "plain": ("export A=1 B='x y'\nC=3\nexport C\n", {"A": "1", "B": "x y", "C": "3"}, {"A": "1", "B": "x y", "C": "3"}),
    "not exported": ("A=1\n", {}, {}),
    "left early": ('if [[ "${MWAA_AIRFLOW_COMPONENT}" != "worker" ]]\nthen\n  exit 0\nfi\nexport A=1\n', {}, {"A": "1"}),
    "left early in one line": (f'[ "{C}" = worker ] || exit 0\nexport A=1\n', {}, {"A": "1"}),
    "left early by return": (f'[[ {C} == worker ]] || return 0\nexport A=1\n', {}, {"A": "1"}),
    "exit for all": ("exit 0\nexport A=1\n", {}, {}),
    "exit in a subshell": ("(exit 0)\nexport A=1\n", {"A": "1"}, {"A": "1"}),
    "exit in a function": ("leave() { exit 0; }\nleave\nexport A=1\n", {}, {}),
    "if": (f'if [[ {C} == worker ]]; then export A=1; fi\n', {}, {"A": "1"}),
    "if else": (f'if [ "{C}" == "worker" ]; then export A=w; else export A=s; fi\n', {"A": "s"}, {"A": "w"}),
    "elif": (f'if test {C} = webserver; then export A=1; elif test {C} = scheduler; then export A=2; fi\n', {"A": "2"}, {}),
    "and": (f'[[ {C} == worker ]] && export A=1\n', {}, {"A": "1"}),
    "and in the brackets": (f'if [[ -n {C} && {C} != "worker" ]]; then export A=1; fi\n', {"A": "1"}, {}),
    "either": (f'if [[ {C} == "worker" || {C} == "scheduler" ]]; then export A=1; fi\n', {"A": "1"}, {"A": "1"}),
    "not": (f'if ! [[ {C} == "worker" ]]; then export A=1; fi\n', {"A": "1"}, {}),
    "pattern": (f'[[ {C} == sched* ]] && export A=1\n', {"A": "1"}, {}),
    "quoted pattern": (f'[[ {C} == "sched*" ]] || export A=1\n', {"A": "1"}, {"A": "1"}),
    "expression": (f'if [[ {C} =~ ^(scheduler|webserver)$ ]]; then export A=1; fi\n', {"A": "1"}, {}),
    "case": (f'case "{C}" in\n  worker) export A=w ;;\n  scheduler|webserver)\n    export A=s\n    ;;\n  *) export A=x ;;\nesac\n', {"A": "s"}, {"A": "w"}),
    "case with a way out": (f'case {C} in (worker) ;; (*) exit 0 ;; esac\nexport A=1\n', {}, {"A": "1"}),
    "case that falls through": (f'case {C} in scheduler) export A=1 ;;& *) export B=1 ;; esac\n', {"A": "1", "B": "1"}, {"B": "1"}),
    "function": ("set_it() {\n  export $1=$2\n}\nset_it A 1\n", {"A": "1"}, {"A": "1"}),
    "function keyword, never called": ("function f {\n  export A=1\n}\n", {}, {}),
    "local": ("f() { local A=1; export A; export B=$A; }\nf\n", {"B": "1"}, {"B": "1"}),
    "component kept in a variable": ('WHO="${MWAA_AIRFLOW_COMPONENT:-none}"\nif [ "$WHO" = worker ]; then export A=1; fi\n', {}, {"A": "1"}),
    "upper case": ('WHO=${MWAA_AIRFLOW_COMPONENT^^}\n[ $WHO = WORKER ] && export A=1\n', {}, {"A": "1"}),
    "values": ('A=x\nexport B="${A}-$A" C=${D:-d} E=~/e F=$AIRFLOW_HOME/f G="\\$" H=$\'a\\nb\'\n', {"B": "x-x", "C": "d", "E": "/usr/local/airflow/e", "F": "/usr/local/airflow/f", "G": "$", "H": "a\nb"}, {"B": "x-x", "C": "d", "E": "/usr/local/airflow/e", "F": "/usr/local/airflow/f", "G": "$", "H": "a\nb"}),
    "append": ("A=x\nA+=y\nexport A\n", {"A": "xy"}, {"A": "xy"}),
    "only a run would tell": ("export A=$(date) B=`date` C=$((1 + 1))\n", {"A": None, "B": None, "C": None}, {"A": None, "B": None, "C": None}),
    "set -a": ("set -a\nA=1\nset +a\nB=2\n", {"A": "1"}, {"A": "1"}),
    "set -o allexport": ("set -o allexport\nA=1\nset +o allexport\nB=2\n", {"A": "1"}, {"A": "1"}),
    "declare": ("declare -x A=1\ntypeset -rx B=2\ndeclare C=3\n", {"A": "1", "B": "2"}, {"A": "1", "B": "2"}),
    "unset": ("export A=1 B=2\nunset A\nexport -n B\n", {}, {}),
    "subshell": ("(export A=1)\nexport B=1 | cat\necho | export C=1\n{ export D=1; }\nexport E=1 &\n", {"D": "1"}, {"D": "1"}),
    "here-document": ("cat <<EOF > x\nexport A=1\nexit 0\nEOF\nexport B=1\n", {"B": "1"}, {"B": "1"}),
    "comment": ("# export A=1\nexport B=1 # exit 0\n", {"B": "1"}, {"B": "1"}),
    "for": ("for N in A B; do\n  export $N=1\ndone\n", {"A": "1", "B": "1"}, {"A": "1", "B": "1"}),
    "for with a way out": ('for N in A B; do [[ $N == B ]] && break; export $N=1; done\n', {"A": "1"}, {"A": "1"}),
    "for over components": (f'for X in scheduler webserver; do\n if [ $X = "{C}" ]; then exit; fi\ndone\nexport A=1\n', {}, {"A": "1"}),
    "array": ("A=(1 2)\nexport B=1\n", {"B": "1"}, {"B": "1"}),
    "program replaces the shell": ("export A=1\nexec sleep 1\n", {}, {}),
    "redirections": ("exec > /tmp/log 2>&1\nexport A=1 2>/dev/null\necho hi >&2\n", {"A": "1"}, {"A": "1"}),
    "eval of what is known": ('eval "export A=1"\n', {"A": "1"}, {"A": "1"}),
    "activate": ("python3 -m venv x\nsource x/bin/activate\ndeactivate\nexport A=1\n", {"A": "1"}, {"A": "1"}),
    'not inside the brackets': ('[[ ! $MWAA_AIRFLOW_COMPONENT == worker ]] && export A=1\n', {'A': '1'}, {}),
    'round brackets': ('[[ ( $MWAA_AIRFLOW_COMPONENT == worker || $MWAA_AIRFLOW_COMPONENT == x ) && -n $MWAA_AIRFLOW_COMPONENT ]] && export A=1\n', {}, {'A': '1'}),
    'or of test': ('[ \\( $MWAA_AIRFLOW_COMPONENT = worker \\) -o $MWAA_AIRFLOW_COMPONENT = x ] && export A=1\n', {}, {'A': '1'}),
    'and of test': ('[ $MWAA_AIRFLOW_COMPONENT = worker -a -n "$MWAA_AIRFLOW_COMPONENT" ] && export A=1\n', {}, {'A': '1'}),
    'whether a variable is set': ('B=1\nE=\n[[ -v B ]] && export A=1\n[[ -v E ]] && export C=1\n[[ -v D ]] || export D=1\n', {'A': '1', 'C': '1', 'D': '1'}, {'A': '1', 'C': '1', 'D': '1'}),
    'empty and not': ('E=\n[ -z "$E" ] && export A=1\n[ -n "$E" ] || export B=1\n[[ $E ]] || export C=1\n[ ] || export D=1\n', {'A': '1', 'B': '1', 'C': '1', 'D': '1'}, {'A': '1', 'B': '1', 'C': '1', 'D': '1'}),
    'numbers': ('[ 2 -gt 1 ] && export A=1\n[ 1 -ge 2 ] && export B=1\n[[ 1 -eq 1 ]] && export C=1\n[ 1 -ne 1 ] || export D=1\n[ 1 -lt 2 ] && export E=1\n[ 2 -le 2 ] && export F=1\n[ 1 -gt 1 ] || export G=1\n', {'A': '1', 'C': '1', 'D': '1', 'E': '1', 'F': '1', 'G': '1'}, {'A': '1', 'C': '1', 'D': '1', 'E': '1', 'F': '1', 'G': '1'}),
    'first letters': ('X=Abc\nY=aBC\nexport A=${X,} B=${Y^} C=${Y,,} D=${X^^}\n', {'A': 'abc', 'B': 'ABC', 'C': 'abc', 'D': 'ABC'}, {'A': 'abc', 'B': 'ABC', 'C': 'abc', 'D': 'ABC'}),
    'defaults': ('E=\nX=x\nexport A=${E:-d} B=${E-d} C=${N-d} D=${X:-d} F=${N:-$X}\n', {'A': 'd', 'B': '', 'C': 'd', 'D': 'x', 'F': 'x'}, {'A': 'd', 'B': '', 'C': 'd', 'D': 'x', 'F': 'x'}),
    'alternatives': ('E=\nX=x\nexport A=${E:+d} B=${E+d} C=${N+d} D=${X:+d}\n', {'A': '', 'B': 'd', 'C': '', 'D': 'd'}, {'A': '', 'B': 'd', 'C': '', 'D': 'd'}),
    'defaults that stay': ('E=\n: ${A:=1} ${B=2}\nexport A B\nexport C=${E:=3}\nexport E\n', {'A': '1', 'B': '2', 'C': '3', 'E': '3'}, {'A': '1', 'B': '2', 'C': '3', 'E': '3'}),
    'must be set': ('X=x\nexport A=${X:?no}\n', {'A': 'x'}, {'A': 'x'}),
    'command before a builtin': ('command export A=1\nbuiltin export B=2\ncommand -v python3\nexport C=3\n', {'A': '1', 'B': '2', 'C': '3'}, {'A': '1', 'B': '2', 'C': '3'}),
    'past the wrapper': ('export A=1\nbuiltin exit 0\n', {}, {}),
    'past the wrapper by a backslash': ('export A=1\n\\exit 0\n', {}, {}),
    'arguments of set': ('set -- x y\nexport A=$1 B=$2\nexport C=$#\n', {'A': 'x', 'B': 'y', 'C': None}, {'A': 'x', 'B': 'y', 'C': None}),
    'arguments of a function are its own': ('set -- x\nf() { export A=$1; }\nf y\nexport B=$1\n', {'A': 'y', 'B': 'x'}, {'A': 'y', 'B': 'x'}),
    'a local variable ends': ('A=1\nexport A\nf() { local A=2; export B=$A; }\nf\nexport C=$A\n', {'A': '1', 'B': '2', 'C': '1'}, {'A': '1', 'B': '2', 'C': '1'}),
    'declare in a function': ('f() { declare -x A=1; declare -gx B=2; }\nf\n', {'B': '2'}, {'B': '2'}),
    'declared before it has a value': ('declare -x A\nA=1\n', {'A': '1'}, {'A': '1'}),
    'read-only': ('readonly A=1\nexport A\n', {'A': '1'}, {'A': '1'}),
    'exported before it has a value': ('export A\nA=1\nexport -n A\nexport B=2\n', {'B': '2'}, {'B': '2'}),
    'export of nothing but a flag': ('A=1\nexport -p\nexport -f A 2>/dev/null\n', {}, {}),
    'export of words': ('L="A=1 B=2"\nexport $L\n', {'A': '1', 'B': '2'}, {'A': '1', 'B': '2'}),
    'append to nothing': ('A+=1\nexport A\nexport B=x\nB+=y\n', {'A': '1', 'B': 'xy'}, {'A': '1', 'B': 'xy'}),
    'export that appends': ('export A=x\nexport A+=y\n', {'A': 'xy'}, {'A': 'xy'}),
    'printf into a variable': ('printf -v A x\nexport A\nprintf y\n', {'A': None}, {'A': None}),
    'unset of a function': ('f() { export A=1; }\nunset f\nf\nexport B=1\n', {'B': '1'}, {'B': '1'}),
    'break outside of a loop': ('break\nexport A=1\n', {'A': '1'}, {'A': '1'}),
    'eval twice': ('eval \'eval "export A=1"\'\n', {'A': '1'}, {'A': '1'}),
    'arithmetic': ('(( 1 + 1 ))\nexport A=1\nfor ((i=0;i<0;i++)); do export B=1; done\n', {'A': '1'}, {'A': '1'}),
    'quotes': ('X=x\nexport A="a \\"b\\" ${X} \\$X" B=\'$X\' C="${N:-"d e"}" D=a\\ b\n', {'A': 'a "b" x $X', 'B': '$X', 'C': 'd e', 'D': 'a b'}, {'A': 'a "b" x $X', 'B': '$X', 'C': 'd e', 'D': 'a b'}),
    "windows": ("export A=1\r\nexport B=2\r\n", {"A": "1", "B": "2"}, {"A": "1", "B": "2"}),
}  # fmt: skip


# What lies elsewhere on this machine, and what leaves past the wrapper, which then has nothing to tell.
NOT_FOR_BASH = (
    "activate",
    "program replaces the shell",
    "windows",
    "past the wrapper",
    "past the wrapper by a backslash",
)


@pytest.mark.parametrize(("text", "scheduler", "worker"), CASES.values(), ids=CASES)
def test_exports_for_certain(text: str, scheduler: dict[str, str | None], worker: dict[str, str | None]) -> None:
    ours = {"VIRTUAL_ENV", "PATH"}
    assert {name: value for name, value in certain(text).items() if name not in ours} == scheduler
    assert {name: value for name, value in certain(text, "worker").items() if name not in ours} == worker


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize("component", ["scheduler", "worker", "webserver"])
@pytest.mark.parametrize("name", [name for name in CASES if name not in NOT_FOR_BASH])
def test_bash_agrees(name: str, component: str, tmp_path: Path) -> None:
    """The same scripts under bash, with MWAA's own wrapper around them."""
    from mwaa_local.runtime import startup

    script = tmp_path / "startup.sh"
    script.write_text(CASES[name][0])
    given = {"PATH": os.defpath, "MWAA_AIRFLOW_COMPONENT": component, **dict.fromkeys(("HOME", "AIRFLOW_HOME"), "/usr/local/airflow")}  # fmt: skip
    result = startup.run(script, home=tmp_path, environment=given, folder=tmp_path / "run", emit=lambda _: None, limit_seconds=20, patience_seconds=2, refuse_commands=False)  # fmt: skip
    assert result.exports is not None
    real = {key: value for key, value in result.exports.items() if len(key) == 1 and key.isalpha()}
    ours = certain(CASES[name][0], component)
    assert ours.keys() == real.keys()
    assert all(value is None or value == real[key] for key, value in ours.items())


# What only a run would tell is offered, and never certain.
UNCERTAIN = {
    "command failed": "mkdir x || exit 0\nexport A=1\n",
    "condition": "if aws s3 ls; then export A=1; fi\n",
    "either value": "if aws s3 ls; then export A=1; else export A=2; fi\n",
    "file": "if [ -f /opt/x ]; then export A=1; fi\n",
    "count": "for F in *.sh; do export A=1; done\n",
    "while": "while aws s3 ls; do export A=1; done\n",
    "case": "case $(uname) in Linux) export A=1 ;; Darwin) exit 0 ;; esac\n",
}


@pytest.mark.parametrize("text", UNCERTAIN.values(), ids=UNCERTAIN)
def test_what_only_a_run_would_tell(text: str) -> None:
    found = exports(text)
    assert "1" in found.variables["A"].values
    assert len(found.variables["A"].values) > 1 or found.variables["A"].unset
    assert not found.open_line


OPEN = {
    "source": ("set -a\nsource /opt/conf/app.env\nset +a\n", 2, "source /opt/conf/app.env"),
    "dot": ("export A=1\n. ./nowhere.sh\n", 2, ". ./nowhere.sh"),
    "process": ("source <(aws s3 cp s3://b/k -)\n", 1, "source <(aws s3 cp s3://b/k -)"),
    "export of lines": ("export $(grep -v '^#' .env | xargs)\n", 1, "export $(grep -v '^#' .env | xargs)"),
    "read": ('while read -r line; do\n  export "$line"\ndone < .env\n', 2, 'export "$line"'),
    "eval": ('\neval "$(aws x)"\n', 2, 'eval "$(aws x)"'),
    "in one branch": ("if [ -f /x ]; then\n. /x\nfi\n", 2, ". /x"),
    "half a script": ("export A=1\nif true; then\n", 0, ""),
}


@pytest.mark.parametrize(("text", "line", "words"), OPEN.values(), ids=OPEN)
def test_what_may_export_anything_is_named(text: str, line: int, words: str) -> None:
    found = exports(text)
    assert found.open_line
    if line:
        assert (found.open_line, found.open_text) == (line, words)


def test_an_unknown_file_behind_a_way_out_counts_for_nobody() -> None:
    text = '[[ "$MWAA_AIRFLOW_COMPONENT" == worker ]] || exit 0\nsource /opt/x\n'
    assert not exports(text).open_line
    assert exports(text, "worker").open_line == 2


def test_a_file_of_the_workspace_is_followed(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "app.env").write_text("A=1\n# B=2\n")
    (tmp_path / "secret").write_text("C=3\n")
    folders = {"/usr/local/airflow/plugins": tmp_path / "plugins"}
    for path in ("/usr/local/airflow/plugins/app.env", '"$AIRFLOW_HOME/plugins/app.env"', "plugins/app.env", "~/plugins/app.env"):  # fmt: skip
        found = exports(f"set -a\nif [ -f /usr/local/airflow/plugins/app.env ]; then . {path}; fi\n", folders=folders)
        assert not found.open_line, path
        assert found.variables["A"].values == ("1",)
    assert exports("source plugins/../../secret\n", folders=folders).open_line == 1
    assert exports("cd /tmp\nsource plugins/app.env\n", folders=folders).open_line == 2


@pytest.mark.parametrize(
    "text",
    ["'open", '"open $(', "$(", "`", "<<", "((", "a\\", "${", "&>", "\0", "))", "f() { f; }\nf\n", "if " * 3000, "( " * 3000,
     "case x in", "for", "while true; do " * 50, "[[ a", "[ ( ]", "export ${A:=${A:=", "A=(", "$'", "! ! !", ";;", "a | | b", "f()"],
)  # fmt: skip
def test_half_a_script_is_followed_to_its_end(text: str) -> None:
    exports(text)
