"""The facts of a PostgreSQL schema, every definition printed by PostgreSQL itself.

Owners and privileges are left out: they belong to an installation, not to a schema. So are the members of
extensions, and the names that PostgreSQL 18 gives to NOT NULL.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, text

from tbcv.migrate.snapshot.model import Fact

_OURS = r"""
    {n}.nspname NOT IN ('pg_catalog', 'information_schema') AND {n}.nspname !~ '^pg_(toast|temp)'
    AND NOT EXISTS (
        SELECT 1 FROM pg_depend e
        WHERE e.deptype = 'e' AND e.objid = {o}.oid AND e.classid = {o}.tableoid
    )
"""
_RELATION = _OURS.format(n="n", o="c") + " AND c.relname NOT IN ('alembic_version', 'alembic_version_pkc')"


# Each query gives subject and line. `regclass` qualifies a name only where the search path does not find it.
_QUERIES = (
    # Tables.
    f"""
    SELECT 'table ' || c.oid::regclass, concat_ws(' ',
        'table ' || c.oid::regclass,
        CASE c.relpersistence WHEN 'u' THEN 'unlogged' END,
        CASE c.relkind WHEN 'f' THEN 'foreign' END,
        'partition by ' || pg_get_partkeydef(c.oid),
        'partition ' || pg_get_expr(c.relpartbound, c.oid),
        (SELECT 'inherits ' || string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno)
         FROM pg_inherits i WHERE i.inhrelid = c.oid),
        'with ' || array_to_string(c.reloptions, ', '),
        CASE WHEN c.relrowsecurity THEN 'row security' END,
        CASE WHEN c.relforcerowsecurity THEN 'forced row security' END,
        CASE c.relreplident WHEN 'f' THEN 'replica identity full' WHEN 'n' THEN 'replica identity nothing' END,
        'access method ' || (SELECT a.amname FROM pg_am a WHERE a.oid = c.relam AND a.amname <> 'heap'))
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'f') AND {_RELATION}
    """,
    # Columns of tables.
    f"""
    SELECT 'table ' || c.oid::regclass, concat_ws(' ',
        'column ' || c.oid::regclass || '.' || quote_ident(a.attname) || ':',
        format_type(a.atttypid, a.atttypmod),
        CASE WHEN a.attcollation <> t.typcollation THEN 'collate ' || a.attcollation::regcollation END,
        CASE WHEN a.attnotnull THEN 'not null' END,
        CASE a.attgenerated
            WHEN 's' THEN 'generated always as (' || pg_get_expr(d.adbin, d.adrelid) || ') stored'
            WHEN 'v' THEN 'generated always as (' || pg_get_expr(d.adbin, d.adrelid) || ') virtual'
            ELSE 'default ' || pg_get_expr(d.adbin, d.adrelid) END,
        CASE a.attidentity WHEN 'a' THEN 'identity always' WHEN 'd' THEN 'identity by default' END,
        CASE WHEN a.attstorage <> t.typstorage THEN 'storage ' || a.attstorage::text END,
        'compression ' || nullif(a.attcompression::text, ''),
        CASE WHEN a.attstattarget > 0 THEN 'statistics ' || a.attstattarget END,
        'with ' || array_to_string(a.attoptions, ', '))
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relkind IN ('r', 'p', 'f') AND {_RELATION}
    """,
    # Constraints of tables. NOT NULL is a fact of its column.
    f"""
    SELECT 'table ' || c.oid::regclass,
        'constraint ' || c.oid::regclass || '.' || quote_ident(k.conname) || ': ' || pg_get_constraintdef(k.oid)
        || CASE WHEN k.connoinherit AND k.contype = 'c' THEN ' no inherit' ELSE '' END
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE k.contype NOT IN ('n', 't') AND {_RELATION}
    """,
    # Indexes, those behind constraints too: a constraint does not tell all of its index.
    f"""
    SELECT 'table ' || i.indrelid::regclass, concat_ws(' ',
        'index ' || i.indrelid::regclass || '.' || quote_ident(c.relname) || ':', pg_get_indexdef(i.indexrelid),
        CASE WHEN NOT i.indisvalid THEN 'invalid' END,
        CASE WHEN i.indisclustered THEN 'clustered' END,
        CASE WHEN i.indisreplident THEN 'replica identity' END)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {_RELATION}
    """,
    # Triggers.
    f"""
    SELECT 'table ' || c.oid::regclass, concat_ws(' ',
        'trigger ' || c.oid::regclass || '.' || quote_ident(t.tgname) || ':', pg_get_triggerdef(t.oid),
        CASE t.tgenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always' END)
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT t.tgisinternal AND {_RELATION}
    """,
    # Row security policies.
    f"""
    SELECT 'table ' || c.oid::regclass, concat_ws(' ',
        'policy ' || c.oid::regclass || '.' || quote_ident(p.polname) || ':',
        CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END, 'for ' || p.polcmd::text,
        'to ' || (SELECT string_agg(CASE r WHEN 0 THEN 'public' ELSE r::regrole::text END, ', ' ORDER BY r)
                  FROM unnest(p.polroles) r),
        'using (' || pg_get_expr(p.polqual, p.polrelid) || ')',
        'with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
    FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {_RELATION}
    """,
    # Rules, those that make a view excepted.
    f"""
    SELECT 'table ' || c.oid::regclass,
        'rule ' || c.oid::regclass || '.' || quote_ident(r.rulename) || ': ' || pg_get_ruledef(r.oid)
    FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE r.rulename <> '_RETURN' AND {_RELATION}
    """,
    # Extended statistics.
    f"""
    SELECT 'table ' || c.oid::regclass, 'statistics ' || s.stxname || ': ' || pg_get_statisticsobjdef(s.oid)
    FROM pg_statistic_ext s JOIN pg_class c ON c.oid = s.stxrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {_RELATION}
    """,
    # Views.
    f"""
    SELECT 'view ' || c.oid::regclass, concat_ws(' ',
        CASE c.relkind WHEN 'm' THEN 'materialized view ' ELSE 'view ' END || c.oid::regclass || ':',
        'with ' || array_to_string(c.reloptions, ', '), pg_get_viewdef(c.oid))
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('v', 'm') AND {_RELATION}
    """,
    # Sequences; that of an identity column belongs to the column's table.
    f"""
    SELECT CASE WHEN d.deptype = 'i' THEN 'table ' || d.refobjid::regclass ELSE 'sequence ' || c.oid::regclass END,
        concat_ws(' ', 'sequence ' || c.oid::regclass || ':', format_type(s.seqtypid, NULL), 'start', s.seqstart,
        'increment', s.seqincrement, 'minimum', s.seqmin, 'maximum', s.seqmax, 'cache', s.seqcache,
        CASE WHEN s.seqcycle THEN 'cycle' END,
        CASE c.relpersistence WHEN 'u' THEN 'unlogged' END,
        'owned by ' || d.refobjid::regclass || '.' || quote_ident(a.attname))
    FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_depend d ON d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
        AND d.refclassid = 'pg_class'::regclass
    LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE {_RELATION}
    """,
    # Types: enumerations with their labels in order, domains, ranges, and composite types with their columns.
    f"""
    SELECT 'type ' || t.oid::regtype, concat_ws(' ',
        'type ' || t.oid::regtype || ':',
        CASE t.typtype WHEN 'e' THEN 'enum (' || coalesce((
                SELECT string_agg(quote_literal(l.enumlabel), ', ' ORDER BY l.enumsortorder)
                FROM pg_enum l WHERE l.enumtypid = t.oid), '') || ')'
            WHEN 'd' THEN concat_ws(' ', 'domain over', format_type(t.typbasetype, t.typtypmod),
                CASE WHEN t.typcollation <> b.typcollation THEN 'collate ' || t.typcollation::regcollation END,
                CASE WHEN t.typnotnull THEN 'not null' END, 'default ' || t.typdefault,
                (SELECT string_agg(quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid), ', '
                        ORDER BY k.conname)
                 FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c'))
            WHEN 'r' THEN 'range over ' || (SELECT concat_ws(' ', format_type(r.rngsubtype, NULL),
                    nullif(r.rngsubdiff::regproc::text, '-'), nullif(r.rngcanonical::regproc::text, '-'))
                FROM pg_range r WHERE r.rngtypid = t.oid)
            ELSE 'composite (' || (SELECT string_agg(
                    quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
                FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) || ')'
        END)
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
    LEFT JOIN pg_type b ON b.oid = t.typbasetype
    WHERE (t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c') AND {_OURS.format(n="n", o="t")}
    """,
    # Functions, procedures and aggregates.
    f"""
    SELECT 'function ' || p.oid::regprocedure, 'function ' || p.oid::regprocedure || ': '
        || CASE WHEN p.prokind = 'a' THEN 'aggregate ' || (
                SELECT concat_ws(' ', g.aggtransfn::regproc, g.aggfinalfn::regproc, g.agginitval)
                FROM pg_aggregate g WHERE g.aggfnoid = p.oid)
           ELSE pg_get_functiondef(p.oid) END
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_OURS.format(n="n", o="p")}
    """,
    # Collations of one's own.
    f"""
    SELECT 'collation ' || o.oid::regcollation, concat_ws(' ', 'collation ' || o.oid::regcollation || ':',
        o.collprovider, o.collcollate, o.collctype,
        CASE WHEN NOT o.collisdeterministic THEN 'not deterministic' END)
    FROM pg_collation o JOIN pg_namespace n ON n.oid = o.collnamespace WHERE {_OURS.format(n="n", o="o")}
    """,
    # Extensions, and schemas other than the one that is there from the start.
    "SELECT 'extension ' || extname, 'extension ' || extname FROM pg_extension WHERE extname <> 'plpgsql'",
    f"""
    SELECT 'schema ' || quote_ident(n.nspname), 'schema ' || quote_ident(n.nspname) FROM pg_namespace n
    WHERE n.nspname <> 'public' AND {_OURS.format(n="n", o="n")}
    """,
    # Comments.
    f"""
    SELECT CASE WHEN c.relkind IN ('v', 'm') THEN 'view ' WHEN c.relkind = 'S' THEN 'sequence ' ELSE 'table ' END
        || coalesce(i.indrelid, c.oid)::regclass,
        'comment on ' || c.oid::regclass || coalesce('.' || quote_ident(a.attname), '') || ': '
        || quote_literal(m.description)
    FROM pg_description m JOIN pg_class c ON c.oid = m.objoid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_index i ON i.indexrelid = c.oid
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = m.objsubid AND m.objsubid > 0
    WHERE m.classoid = 'pg_class'::regclass AND {_RELATION}
    """,
    f"""
    SELECT 'table ' || c.oid::regclass,
        'comment on constraint ' || c.oid::regclass || '.' || quote_ident(k.conname) || ': '
        || quote_literal(m.description)
    FROM pg_description m JOIN pg_constraint k ON k.oid = m.objoid AND m.classoid = 'pg_constraint'::regclass
    JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_RELATION}
    """,
    f"""
    SELECT 'type ' || t.oid::regtype, 'comment on type ' || t.oid::regtype || ': ' || quote_literal(m.description)
    FROM pg_description m JOIN pg_type t ON t.oid = m.objoid AND m.classoid = 'pg_type'::regclass
    JOIN pg_namespace n ON n.oid = t.typnamespace WHERE {_OURS.format(n="n", o="t")}
    """,
    f"""
    SELECT 'function ' || p.oid::regprocedure,
        'comment on function ' || p.oid::regprocedure || ': ' || quote_literal(m.description)
    FROM pg_description m JOIN pg_proc p ON p.oid = m.objoid AND m.classoid = 'pg_proc'::regclass
    JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_OURS.format(n="n", o="p")}
    """,
)


def read_facts(connection: Connection) -> Iterator[Fact]:
    """Read the facts of a database."""
    for query in _QUERIES:
        for subject, line in connection.execute(text(query.replace(":", r"\:"))).all():
            # A fact is a line; what stands between the lines of a view or a function counts.
            yield Fact(subject, line.replace("\n", "\\n"))
