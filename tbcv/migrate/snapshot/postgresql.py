"""The facts of a PostgreSQL schema, every definition printed by PostgreSQL itself.

Owners and privileges are left out: they belong to an installation, not to a schema. So are the members of
extensions, and the names that PostgreSQL 18 gives to NOT NULL.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import Connection, text

from tbcv.migrate.bookkeeping import BOOKKEEPING_NAMES
from tbcv.migrate.snapshot.model import Fact
from tbcv.migrate.snapshot.printed import canonical

# The least number of what somebody made; thousands of comments are on what is below.
_FIRST = 16384
_OURS = r"""
    {n}.nspname NOT IN ('pg_catalog', 'information_schema') AND {n}.nspname !~ '^pg_(toast|temp)'
    AND NOT EXISTS (
        SELECT 1 FROM pg_depend e
        WHERE e.deptype = 'e' AND e.objid = {o}.oid AND e.classid = {o}.tableoid
    )
"""
_RELATION = _OURS.format(n="n", o="c") + f" AND c.relname NOT IN ({BOOKKEEPING_NAMES})"
# The subject of a fact about a relation. An index and a constraint are facts of their table.
_SUBJECT = """
    CASE {c}.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'view ' WHEN 'S' THEN 'sequence ' WHEN 'c' THEN 'type '
        ELSE 'table ' END || {c}.oid::regclass
"""
_OF_RELATION = _SUBJECT.format(c="c")
_OPTIONS = "'with ' || (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest({c}.reloptions) o)"


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
        {_OPTIONS.format(c="c")},
        (SELECT 'toast ' || {_OPTIONS.format(c="x")} FROM pg_class x WHERE x.oid = c.reltoastrelid),
        'of ' || nullif(c.reloftype, 0)::regtype,
        (SELECT 'server ' || v.srvname || ' ' || coalesce(array_to_string(f.ftoptions, ', '), '')
         FROM pg_foreign_table f JOIN pg_foreign_server v ON v.oid = f.ftserver WHERE f.ftrelid = c.oid),
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
        (SELECT concat_ws(' ', CASE WHEN NOT k.convalidated THEN 'not valid' END,
            CASE WHEN k.connoinherit THEN 'no inherit' END)
         FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum]
         AND (k.connoinherit OR NOT k.convalidated)),
        CASE a.attgenerated
            WHEN 's' THEN 'generated always as (' || pg_get_expr(d.adbin, d.adrelid) || ') stored'
            WHEN 'v' THEN 'generated always as (' || pg_get_expr(d.adbin, d.adrelid) || ') virtual'
            ELSE 'default ' || pg_get_expr(d.adbin, d.adrelid) END,
        CASE a.attidentity WHEN 'a' THEN 'identity always' WHEN 'd' THEN 'identity by default' END,
        CASE WHEN a.attstorage <> t.typstorage THEN 'storage ' || a.attstorage::text END,
        'compression ' || nullif(a.attcompression::text, ''),
        CASE WHEN a.attstattarget >= 0 THEN 'statistics ' || a.attstattarget END,
        'with ' || array_to_string(a.attoptions, ', '),
        'options ' || array_to_string(a.attfdwoptions, ', '))
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relkind IN ('r', 'p', 'f') AND {_RELATION}
    """,
    # What can be set on the columns of views and indexes; the rest of them follows from their definitions.
    f"""
    SELECT {_SUBJECT.format(c="b")}, concat_ws(' ',
        'column ' || c.oid::regclass || '.' || quote_ident(a.attname) || ':',
        'default ' || pg_get_expr(d.adbin, d.adrelid),
        CASE WHEN a.attstorage <> t.typstorage THEN 'storage ' || a.attstorage::text END,
        'compression ' || nullif(a.attcompression::text, ''),
        CASE WHEN a.attstattarget >= 0 THEN 'statistics ' || a.attstattarget END,
        CASE WHEN c.relkind = 'm' THEN 'with ' || array_to_string(a.attoptions, ', ') END)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_index i ON i.indexrelid = c.oid JOIN pg_class b ON b.oid = coalesce(i.indrelid, c.oid)
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relkind IN ('v', 'm', 'i', 'I') AND {_RELATION}
        AND (d.oid IS NOT NULL OR a.attstattarget >= 0 OR a.attcompression::text <> ''
            OR (c.relkind = 'm' AND (a.attoptions IS NOT NULL OR a.attstorage <> t.typstorage)))
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
    SELECT {_SUBJECT.format(c="b")}, concat_ws(' ',
        'index ' || i.indrelid::regclass || '.' || quote_ident(c.relname) || ':', pg_get_indexdef(i.indexrelid),
        CASE WHEN NOT i.indisvalid THEN 'invalid' END,
        CASE WHEN i.indisclustered THEN 'clustered' END,
        CASE WHEN i.indisreplident THEN 'replica identity' END,
        (SELECT 'part of ' || h.inhparent::regclass FROM pg_inherits h WHERE h.inhrelid = c.oid))
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class b ON b.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {_RELATION}
    """,
    # Triggers.
    f"""
    SELECT {_OF_RELATION}, concat_ws(' ',
        'trigger ' || c.oid::regclass || '.' || quote_ident(t.tgname) || ':', pg_get_triggerdef(t.oid),
        CASE t.tgenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always' END)
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT t.tgisinternal AND {_RELATION}
    """,
    # Constraints whose own triggers are not enabled as usual: they are not enforced.
    f"""
    SELECT DISTINCT {_OF_RELATION}, 'triggers of constraint ' || k.conrelid::regclass || '.' || quote_ident(k.conname)
        || ' on ' || c.oid::regclass || ': ' || t.tgenabled::text || ' at ' || (t.tgtype::int & 28)
    FROM pg_trigger t JOIN pg_constraint k ON k.oid = t.tgconstraint JOIN pg_class c ON c.oid = t.tgrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE t.tgisinternal AND t.tgenabled <> 'O' AND {_RELATION}
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
    SELECT {_OF_RELATION}, concat_ws(' ',
        'rule ' || c.oid::regclass || '.' || quote_ident(r.rulename) || ':', pg_get_ruledef(r.oid),
        CASE r.ev_enabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always' END)
    FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE r.rulename <> '_RETURN' AND {_RELATION}
    """,
    # Extended statistics.
    f"""
    SELECT {_OF_RELATION}, concat_ws(' ', 'statistics ' || s.stxname || ':', pg_get_statisticsobjdef(s.oid),
        CASE WHEN s.stxstattarget >= 0 THEN 'target ' || s.stxstattarget END)
    FROM pg_statistic_ext s JOIN pg_class c ON c.oid = s.stxrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {_RELATION}
    """,
    # Views.
    f"""
    SELECT 'view ' || c.oid::regclass, concat_ws(' ',
        CASE c.relkind WHEN 'm' THEN 'materialized view ' ELSE 'view ' END || c.oid::regclass || ':',
        {_OPTIONS.format(c="c")},
        'access method ' || (SELECT a.amname FROM pg_am a WHERE a.oid = c.relam AND a.amname <> 'heap'),
        pg_get_viewdef(c.oid))
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
                    'collate ' || nullif(r.rngcollation, y.typcollation)::regcollation,
                    (SELECT 'opclass ' || o.opcname FROM pg_opclass o WHERE o.oid = r.rngsubopc AND NOT o.opcdefault),
                    nullif(r.rngsubdiff::regproc::text, '-'), nullif(r.rngcanonical::regproc::text, '-'),
                    'multirange ' || r.rngmultitypid::regtype)
                FROM pg_range r JOIN pg_type y ON y.oid = r.rngsubtype WHERE r.rngtypid = t.oid)
            ELSE 'composite (' || (SELECT string_agg(
                    concat_ws(' ', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
                        'collate ' || nullif(a.attcollation, y.typcollation)::regcollation), ', ' ORDER BY a.attnum)
                FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid
                WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) || ')'
        END)
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
    LEFT JOIN pg_type b ON b.oid = t.typbasetype
    WHERE (t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c') AND {_OURS.format(n="n", o="t")}
    """,
    # Functions, procedures and aggregates.
    f"""
    SELECT 'function ' || p.oid::regprocedure, 'function ' || p.oid::regprocedure || ': '
        || CASE WHEN p.prokind = 'a' THEN 'aggregate ' || (
                SELECT (to_jsonb(g) - 'aggfnoid' - 'aggsortop' - 'aggtranstype' - 'aggmtranstype')::text
                    || concat_ws(' ', '', g.aggtranstype::regtype, g.aggmtranstype::regtype,
                        nullif(g.aggsortop, 0)::regoperator, p.provolatile, p.proparallel)
                FROM pg_aggregate g WHERE g.aggfnoid = p.oid)
           ELSE pg_get_functiondef(p.oid) END
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_OURS.format(n="n", o="p")}
    """,
    # Collations of one's own.
    f"""
    SELECT 'collation ' || o.oid::regcollation, concat_ws(' ', 'collation ' || o.oid::regcollation || ':',
        o.collprovider, o.collcollate, o.collctype,
        coalesce(to_jsonb(o) ->> 'colllocale', to_jsonb(o) ->> 'colliculocale'), to_jsonb(o) ->> 'collicurules',
        CASE WHEN NOT o.collisdeterministic THEN 'not deterministic' END)
    FROM pg_collation o JOIN pg_namespace n ON n.oid = o.collnamespace WHERE {_OURS.format(n="n", o="o")}
    """,
    # Extensions, and schemas other than the one that is there from the start.
    """
    SELECT 'extension ' || extname, 'extension ' || extname || coalesce(' in ' || nullif(n.nspname, 'public'), '')
    FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace WHERE extname <> 'plpgsql'
    """,
    f"""
    SELECT 'schema ' || quote_ident(n.nspname), 'schema ' || quote_ident(n.nspname) FROM pg_namespace n
    WHERE n.nspname <> 'public' AND {_OURS.format(n="n", o="n")}
    """,
    # Casts, operators, their classes and families.
    """
    SELECT 'cast ' || b, concat_ws(' ', 'cast ' || b || ':', nullif(castfunc, 0)::regprocedure, castcontext, castmethod)
    FROM (SELECT *, format('(%s as %s)', castsource::regtype, casttarget::regtype) AS b FROM pg_cast x
        WHERE x.oid >= 16384 AND NOT EXISTS (SELECT 1 FROM pg_depend e
            WHERE e.deptype = 'e' AND e.objid = x.oid AND e.classid = x.tableoid)) x
    """,
    f"""
    SELECT 'operator ' || o.oid::regoperator, concat_ws(' ', 'operator ' || o.oid::regoperator || ':',
        o.oprcode, 'commutator ' || nullif(o.oprcom, 0)::regoperator, 'negator ' || nullif(o.oprnegate, 0)::regoperator,
        'restrict ' || nullif(o.oprrest::text, '-'), 'join ' || nullif(o.oprjoin::text, '-'),
        CASE WHEN o.oprcanhash THEN 'hashes' END, CASE WHEN o.oprcanmerge THEN 'merges' END)
    FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE {_OURS.format(n="n", o="o")}
    """,
    f"""
    SELECT 'operator class ' || o.opcname, concat_ws(' ', 'operator class ' || o.opcname || ':', a.amname,
        o.opcintype::regtype, CASE WHEN o.opcdefault THEN 'default' END, 'stores ' || nullif(o.opckeytype, 0)::regtype,
        (SELECT string_agg(w.amopstrategy || ' ' || w.amopopr::regoperator, ', '
            ORDER BY w.amopstrategy, w.amopopr::text)
         FROM pg_amop w WHERE w.amopfamily = o.opcfamily),
        (SELECT string_agg(w.amprocnum || ' ' || w.amproc::regprocedure, ', ' ORDER BY w.amprocnum, w.amproc::text)
         FROM pg_amproc w WHERE w.amprocfamily = o.opcfamily))
    FROM pg_opclass o JOIN pg_am a ON a.oid = o.opcmethod JOIN pg_namespace n ON n.oid = o.opcnamespace
    WHERE {_OURS.format(n="n", o="o")}
    """,
    # Text search.
    f"""
    SELECT 'text search ' || o.oid::regconfig, 'text search ' || o.oid::regconfig || ': ' || concat_ws(' ', s.prsname, (
        SELECT string_agg(m.maptokentype || ' ' || m.mapseqno || ' ' || m.mapdict::regdictionary, ', '
            ORDER BY m.maptokentype, m.mapseqno) FROM pg_ts_config_map m WHERE m.mapcfg = o.oid))
    FROM pg_ts_config o JOIN pg_namespace n ON n.oid = o.cfgnamespace JOIN pg_ts_parser s ON s.oid = o.cfgparser
    WHERE {_OURS.format(n="n", o="o")}
    """,
    f"""
    SELECT 'dictionary ' || o.oid::regdictionary, concat_ws(' ', 'dictionary ' || o.oid::regdictionary || ':',
        s.tmplname, o.dictinitoption)
    FROM pg_ts_dict o JOIN pg_namespace n ON n.oid = o.dictnamespace JOIN pg_ts_template s ON s.oid = o.dicttemplate
    WHERE {_OURS.format(n="n", o="o")}
    """,
    # Event triggers, and servers of foreign tables.
    """
    SELECT 'event trigger ' || v.evtname, concat_ws(' ', 'event trigger ' || v.evtname || ':', v.evtevent,
        v.evtfoid::regprocedure, array_to_string(v.evttags, ', '), v.evtenabled) FROM pg_event_trigger v
    """,
    """
    SELECT 'server ' || v.srvname, concat_ws(' ', 'server ' || v.srvname || ':', w.fdwname, v.srvtype, v.srvversion,
        array_to_string(v.srvoptions, ', '))
    FROM pg_foreign_server v JOIN pg_foreign_data_wrapper w ON w.oid = v.srvfdw
    """,
    # Comments: on relations and their columns, on what belongs to a relation, and on everything else.
    f"""
    SELECT {_SUBJECT.format(c="b")},
        'comment on ' || c.oid::regclass || coalesce('.' || quote_ident(a.attname), '') || ': '
        || quote_literal(m.description)
    FROM pg_description m JOIN pg_class c ON c.oid = m.objoid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_index i ON i.indexrelid = c.oid JOIN pg_class b ON b.oid = coalesce(i.indrelid, c.oid)
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = m.objsubid AND m.objsubid > 0
    WHERE m.classoid = 'pg_class'::regclass AND {_RELATION}
    """,
    f"""
    SELECT {_OF_RELATION}, 'comment on ' || x.kind || ' ' || c.oid::regclass || '.' || quote_ident(x.name) || ': '
        || quote_literal(m.description)
    FROM (SELECT tableoid, oid, conrelid, 'constraint', conname FROM pg_constraint
        UNION ALL SELECT tableoid, oid, tgrelid, 'trigger', tgname FROM pg_trigger
        UNION ALL SELECT tableoid, oid, polrelid, 'policy', polname FROM pg_policy
        UNION ALL SELECT tableoid, oid, ev_class, 'rule', rulename FROM pg_rewrite
        UNION ALL SELECT tableoid, oid, stxrelid, 'statistics', stxname FROM pg_statistic_ext
        ) x (class, oid, relation, kind, name)
    JOIN pg_description m ON m.classoid = x.class AND m.objoid = x.oid
    JOIN pg_class c ON c.oid = x.relation JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_RELATION}
    """,
    f"""
    SELECT 'type ' || t.oid::regtype,
        'comment on type ' || t.oid::regtype || coalesce('.' || quote_ident(k.conname), '')
        || ': ' || quote_literal(m.description)
    FROM (SELECT * FROM pg_description WHERE objoid >= {_FIRST}) m
    LEFT JOIN pg_constraint k ON k.oid = m.objoid AND m.classoid = 'pg_constraint'::regclass
    JOIN pg_type t ON (t.oid = m.objoid AND m.classoid = 'pg_type'::regclass) OR t.oid = k.contypid
    JOIN pg_namespace n ON n.oid = t.typnamespace WHERE {_OURS.format(n="n", o="t")}
    """,
    f"""
    SELECT 'function ' || p.oid::regprocedure,
        'comment on function ' || p.oid::regprocedure || ': ' || quote_literal(m.description)
    FROM (SELECT * FROM pg_description WHERE objoid >= {_FIRST}) m
    JOIN pg_proc p ON p.oid = m.objoid AND m.classoid = 'pg_proc'::regclass
    JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_OURS.format(n="n", o="p")}
    """,
    f"""
    SELECT o.type || ' ' || o.identity,
        'comment on ' || o.type || ' ' || o.identity || ': ' || quote_literal(m.description)
    FROM pg_description m, pg_identify_object(m.classoid, m.objoid, m.objsubid) o
    WHERE m.objoid >= {_FIRST} AND m.classoid NOT IN ('pg_class'::regclass, 'pg_constraint'::regclass,
            'pg_trigger'::regclass, 'pg_policy'::regclass, 'pg_rewrite'::regclass, 'pg_statistic_ext'::regclass,
            'pg_type'::regclass, 'pg_proc'::regclass, 'pg_extension'::regclass)
        AND NOT EXISTS (SELECT 1 FROM pg_depend e
            WHERE e.deptype = 'e' AND e.objid = m.objoid AND e.classid = m.classoid)
    """,
)


# What a session can set and what would change how PostgreSQL prints a constant or a name.
_PRINTING = {
    "bytea_output": "hex",
    "datestyle": "ISO, MDY",
    "extra_float_digits": "1",
    "intervalstyle": "postgres",
    "lc_monetary": "C",
    "quote_all_identifiers": "off",
    "timezone": "UTC",
    "xmlbinary": "base64",
}


# One question, since each would be asked, parsed and answered by itself otherwise.
_ALL = " UNION ALL ".join(f"SELECT subject::text, line::text FROM ({one}) facts (subject, line)" for one in _QUERIES)


def read_facts(connection: Connection) -> Iterator[Fact]:
    """Read the facts of a database."""
    with _printing(connection):
        for subject, line in connection.exec_driver_sql(_ALL).all():
            # The text of a function is its author's, not PostgreSQL's.
            yield Fact(subject, line if subject.startswith("function ") else canonical(line))


@contextmanager
def _printing(connection: Connection) -> Iterator[None]:
    """Have PostgreSQL print alike on every connection; what the session had set is set again afterwards."""
    read = ", ".join(f"current_setting('{name}')" for name in _PRINTING)
    before = connection.exec_driver_sql(f"SELECT {read}").one()
    _set(connection, _PRINTING)
    yield
    # After an error the transaction is lost, and these settings with it.
    _set(connection, dict(zip(_PRINTING, before, strict=True)))


def _set(connection: Connection, settings: Mapping[str, str]) -> None:
    calls = ", ".join(f"set_config('{name}', :{name}, true)" for name in settings)
    connection.execute(text(f"SELECT {calls}"), settings)
