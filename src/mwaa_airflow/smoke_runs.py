"""The scheduler runs what a smoke test triggers although the DAG is paused.

A smoke test that unpaused DAGs would set off their schedules, catch-up included, and would have to pause them again
whatever happens to it. So the DAG stays as it is: paused, seen as paused by everybody, with no run of its schedule.
The scheduler's own queries for runs and tasks leave out paused DAGs; for runs that belong to a smoke test they do not.

What belongs to one: the run with an id of ``PREFIX``, and every run that something started from outside while it was
under way: the target of a TriggerDagRunOperator, the runs of a SubDagOperator. Never a run of a schedule.
"""

#: Beginning of the id of a run that a smoke test triggers; mwaa_local.observability.smoke says the same.
PREFIX = "mwaa-local-smoke__"

#: What the scheduler looks for when it filters by pause: runs to start or to go on with, tasks to queue.
LOOKED_FOR = ("DagRun", "TaskInstance")


def belongs(runs):
    """Return the SQL condition that a run of the table ``dag_run`` belongs to a smoke test."""
    from sqlalchemy import and_, exists, func, or_

    smoke = runs.alias("smoke_run")
    # Airflow 2 marks what no schedule made; Airflow 3 has types of runs instead, of which these are made by hand or
    # by an operator.
    from_outside = runs.c.external_trigger.is_(True) if "external_trigger" in runs.c else runs.c.run_type == "manual"
    # A run that is made running, as a SubDAG's is, was never queued.
    begun = func.coalesce(runs.c.queued_at, runs.c.start_date, smoke.c.end_date)
    under_way = and_(
        smoke.c.run_id.startswith(PREFIX, autoescape=True),
        smoke.c.id <= runs.c.id,
        or_(smoke.c.end_date.is_(None), begun <= smoke.c.end_date),
    )
    return and_(from_outside, exists().where(under_way).correlate(runs))


def let_go(execution):
    """Widen one statement of the scheduler: where it asks that a DAG is not paused, its smoke runs pass too."""
    mapper = execution.bind_mapper
    if (
        not execution.is_select
        or execution.is_column_load
        or execution.is_relationship_load
        or mapper is None
        or mapper.class_.__name__ not in LOOKED_FOR
    ):
        return
    from airflow.models.dagrun import DagRun
    from sqlalchemy import and_, not_
    from sqlalchemy.sql.elements import Grouping
    from sqlalchemy.sql.visitors import replacement_traverse

    runs = DagRun.__table__

    def replace(element, **_):
        table = getattr(element, "table", None)
        if getattr(element, "name", None) == "is_paused" and getattr(table, "name", None) == "dag":
            # What replaces a column is not put in parentheses by itself.
            return Grouping(and_(element, not_(belongs(runs))))
        return None

    execution.statement = replacement_traverse(execution.statement, {}, replace)


def install():
    """Do so in this process, which is a scheduler; once, however often it is called."""
    from sqlalchemy import event
    from sqlalchemy.orm import Session

    if not event.contains(Session, "do_orm_execute", let_go):
        event.listen(Session, "do_orm_execute", let_go)
