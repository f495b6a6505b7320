"""What `parse_database_url` takes, makes of it, and refuses."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import URL
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from tbcv.engine.url import DatabaseURL, parse_database_url
from tbcv.errors import ConfigurationError, UnsupportedDatabaseError

SECRET = "hunter2-zQ9"

printable = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)


def driver_arguments(address: DatabaseURL) -> dict[str, object]:
    """Return what SQLAlchemy makes of the URL for asyncpg, before `connect_args`."""
    dialect = PGDialect_asyncpg()  # type: ignore[no-untyped-call]
    positional, keywords = dialect.create_connect_args(address.url)  # type: ignore[no-untyped-call]
    assert list(positional) == []
    return dict(keywords)


def refusal(text: str) -> ConfigurationError:
    """Return the error that a URL raises, having checked what holds for each: one line, and a hint."""
    with pytest.raises(ConfigurationError) as caught:
        parse_database_url(text)
    assert caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint
    assert caught.value.__cause__ is None
    return caught.value


def again(address: DatabaseURL) -> URL:
    """Render the URL with its password and return what parsing that gives."""
    return parse_database_url(address.url.render_as_string(hide_password=False)).url


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("sqlite:///rel.db", "rel.db"),
        ("sqlite:///./data/tbcv.db", "data/tbcv.db"),
        ("sqlite:////srv/tbcv.db", "/srv/tbcv.db"),
        ("sqlite+aiosqlite:///a.db", "a.db"),
        ("sqlite+pysqlite:///a.db", "a.db"),
        ("SQLite:///a.db", "a.db"),
        ("sqlite:///C:/data/tbcv.db", "C:/data/tbcv.db"),
        ("sqlite:///my%20data/100%25.db", "my data/100%.db"),
        ("sqlite:///a%3Fb%23c.db", "a?b#c.db"),
        (
            "sqlite:///donn\N{LATIN SMALL LETTER E WITH ACUTE}es.db",
            "donn\N{LATIN SMALL LETTER E WITH ACUTE}es.db",
        ),
        ("sqlite:///a.db?check_same_thread=false", "a.db"),
    ],
)
def test_sqlite_files(text: str, path: str) -> None:
    """Every SQLite driver becomes aiosqlite, and the path is decoded and otherwise left alone."""
    address = parse_database_url(text)
    assert address.url.drivername == "sqlite+aiosqlite"
    assert address.dialect == "sqlite"
    assert address.sqlite_path == Path(path)
    assert not address.is_memory
    assert dict(address.connect_args) == {}
    assert again(address) == address.url


@pytest.mark.parametrize(
    "text", ["sqlite://", "sqlite:///:memory:", "sqlite+aiosqlite://", "sqlite+pysqlite:///%3Amemory%3A"]
)
def test_sqlite_memory(text: str) -> None:
    """Both spellings of a memory database are one address without a file."""
    address = parse_database_url(text)
    assert address == parse_database_url("sqlite://")
    assert address.is_memory
    assert address.sqlite_path is None
    assert address.redacted == "sqlite:///:memory:"
    assert again(address) == address.url


@pytest.mark.parametrize("text", ["sqlite://data/tbcv.db", "sqlite://tbcv.db", "sqlite://:memory:", "sqlite://u@h/x"])
def test_sqlite_host_is_refused(text: str) -> None:
    """Two slashes before a path make it a host, and the hint shows how many there must be."""
    error = refusal(text)
    assert "names a host" in error.message
    assert "sqlite:///data/tbcv.db" in error.hint


@pytest.mark.parametrize("text", ["sqlite:///", "sqlite:////", "sqlite:///data/", "sqlite:///a.db%20"])
def test_sqlite_without_a_file_is_refused(text: str) -> None:
    """An empty path, as of an unset variable, is not taken for a database in memory."""
    assert "names no file" in refusal(text).message


@pytest.mark.parametrize("text", ["sqlite:///file:a.db", "sqlite:///~/a.db", "sqlite:///file::memory:"])
def test_sqlite_paths_that_nobody_expands_are_refused(text: str) -> None:
    """A path that would create a file called ``file:...`` or a directory called ``~`` is refused."""
    assert "plain path" in refusal(text).message


@pytest.mark.parametrize(
    ("parameter", "hint"),
    [
        ("mode=ro", "itself decides"),
        ("cache=shared", "shared cache"),
        ("uri=true", "sqlite:///data/tbcv.db"),
        ("timeout=30", "TBCV_SQLITE_BUSY_TIMEOUT_SECONDS"),
        ("sslmode=require", "docs/configuration.md"),
    ],
)
def test_sqlite_parameters_are_refused_by_name(parameter: str, hint: str) -> None:
    """A SQLite parameter that would have no effect is named, with what to do instead."""
    error = refusal(f"sqlite:///a.db?{parameter}")
    assert f"parameter {parameter.partition('=')[0]}," in error.message
    assert hint in error.hint


@pytest.mark.parametrize("driver", ["", "+asyncpg", "+psycopg2", "+psycopg"])
def test_postgresql_drivers(driver: str) -> None:
    """Every usual driver of PostgreSQL becomes asyncpg."""
    address = parse_database_url(f"postgresql{driver}://u:p@h:5433/db")
    assert address.url == URL.create("postgresql+asyncpg", "u", "p", "h", 5433, "db")
    assert address.dialect == "postgresql"
    assert address.sqlite_path is None
    assert not address.is_memory


def test_postgres_scheme() -> None:
    """The short scheme that hosting providers hand out is PostgreSQL."""
    assert parse_database_url("postgres://u@h/db") == parse_database_url("postgresql://u@h/db")


def test_defaults() -> None:
    """Without parameters there are a time limit, a name, UTC, and no kept prepared statements."""
    assert dict(parse_database_url("postgresql://h/db").connect_args) == {
        "timeout": 10.0,
        "server_settings": {"application_name": "tbcv", "timezone": "UTC"},
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
    }


def test_connect_args_are_immutable() -> None:
    """Nobody can change what another reader of the same address gets."""
    with pytest.raises(TypeError):
        parse_database_url("postgresql://h/db").connect_args["timeout"] = 1  # type: ignore[index]


def test_addresses_can_be_keys() -> None:
    """Equal addresses hash alike."""
    assert len({parse_database_url("postgres://h/db"), parse_database_url("postgresql://h/db")}) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://", {}),
        ("postgresql:///db", {"database": "db"}),
        ("postgresql://:5433/db", {"port": 5433, "database": "db"}),
        ("postgresql:///db?port=5433", {"port": 5433, "database": "db"}),
        ("postgresql://h", {"host": "h"}),
        ("postgresql://h:/", {"host": "h"}),
        ("postgresql://[::1]:5433/db", {"host": "::1", "port": 5433, "database": "db"}),
        ("postgresql://[::1]/db", {"host": "::1", "database": "db"}),
        ("postgresql:///db?host=::1", {"host": "::1", "database": "db"}),
        ("postgresql://u@%2Fvar%2Frun/db", {"user": "u", "host": "/var/run", "database": "db"}),
        ("postgresql:///db?host=/var/run", {"host": "/var/run", "database": "db"}),
        ("postgresql:///db?host=/a+b&port=5433", {"host": "/a b", "port": 5433, "database": "db"}),
        ("postgresql:///db?host=/cloudsql/p:r:i", {"host": "/cloudsql/p:r:i", "database": "db"}),
        ("postgresql://%2Fcloudsql%2Fp%3Ar%3Ai/db", {"host": "/cloudsql/p:r:i", "database": "db"}),
        ("postgresql://h1:1,h2:2/db", {"host": ["h1", "h2"], "port": [1, 2], "database": "db"}),
        ("postgresql://h1,[::1]:2/db", {"host": ["h1", "::1"], "port": [5432, 2], "database": "db"}),
        ("postgresql:///db?host=h1:1&host=h2:2", {"host": ["h1", "h2"], "port": [1, 2], "database": "db"}),
        ("postgresql:///db?host=h1,h2&port=1,2", {"host": ["h1", "h2"], "port": [1, 2], "database": "db"}),
        ("postgresql:///db?host=h1,h2&port=7", {"host": ["h1", "h2"], "port": [7, 7], "database": "db"}),
        ("postgresql:///db?host=/s,h2", {"host": ["/s", "h2"], "port": [5432, 5432], "database": "db"}),
        ("postgresql://h:1/db?host=other", {"host": "other", "database": "db"}),
        (
            "postgresql://a:b@h/c?user=u&password=p&dbname=d&port=5433",
            {"user": "u", "password": "p", "host": "h", "port": 5433, "database": "d"},
        ),
        ("postgresql://h?user=me@corp&password=a%2Bb", {"user": "me@corp", "password": "a+b", "host": "h"}),
        ("postgresql:///db?password=p", {"password": "p", "database": "db"}),
        ("postgresql://u:@h/db?sslmode=", {"user": "u", "host": "h", "database": "db"}),
        ("postgresql://u:100%@h/db", {"user": "u", "password": "100%", "host": "h", "database": "db"}),
        ("postgresql://u:a:b#c@h/db", {"user": "u", "password": "a:b#c", "host": "h", "database": "db"}),
        ("postgresql://h/a%2Fb%20c", {"host": "h", "database": "a/b c"}),
    ],
)
def test_who_and_where(text: str, expected: dict[str, object]) -> None:
    """SQLAlchemy hands asyncpg the user, the hosts and the database that the URL means, and nothing else."""
    address = parse_database_url(text)
    assert driver_arguments(address) == expected
    assert again(address) == address.url


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        ("connect_timeout=3", {"timeout": 3.0}),
        ("connect_timeout=0", {"timeout": None}),
        ("connect_timeout=-1", {"timeout": None}),
        ("timeout=2.5", {"timeout": 2.5}),
        ("command_timeout=30", {"command_timeout": 30.0}),
        ("statement_cache_size=100", {"statement_cache_size": 100}),
        ("prepared_statement_cache_size=50", {"prepared_statement_cache_size": 50}),
        ("passfile=/run/pgpass", {"passfile": "/run/pgpass"}),
        ("target_session_attrs=read-write", {"target_session_attrs": "read-write"}),
        ("sslmode=verify-full", {"ssl": "verify-full"}),
        ("ssl=require", {"ssl": "require"}),
        ("ssl=true", {"ssl": "require"}),
        ("sslrootcert=system", {"ssl": True}),
        ("sslrootcert=system&sslmode=verify-full", {"ssl": True}),
        (
            "sslmode=verify-ca&sslrootcert=/c+a&sslpassword=p%26q",
            {"dsn": "postgresql://?sslrootcert=%2Fc+a&sslpassword=p%26q&sslmode=verify-ca"},
        ),
        ("sslcert=c&sslkey=k&sslcrl=l", {"dsn": "postgresql://?sslcert=c&sslkey=k&sslcrl=l"}),
        ("ssl_min_protocol_version=TLSv1.3", {"dsn": "postgresql://?ssl_min_protocol_version=TLSv1.3"}),
    ],
)
def test_translated_parameters(parameter: str, expected: dict[str, object]) -> None:
    """A parameter of libpq or of asyncpg becomes the keyword by which asyncpg knows it."""
    plain = parse_database_url("postgresql://h/db")
    address = parse_database_url(f"postgresql://h/db?{parameter}")
    assert address.url == plain.url
    assert dict(address.connect_args) == dict(plain.connect_args) | expected


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        ("application_name=worker+1", {"application_name": "worker 1"}),
        ("fallback_application_name=psql", {"application_name": "psql"}),
        ("fallback_application_name=psql&application_name=w", {"application_name": "w"}),
        ("options=-c%20search_path%3Dfoo", {"options": "-c search_path=foo"}),
    ],
)
def test_session_settings(parameter: str, expected: dict[str, str]) -> None:
    """The name of the application and the options of the session reach the server."""
    settings = parse_database_url(f"postgresql://h/db?{parameter}").connect_args["server_settings"]
    assert settings == {"application_name": "tbcv", "timezone": "UTC"} | expected


@pytest.mark.parametrize(
    "parameter",
    [
        "channel_binding=prefer",
        "channel_binding=disable",
        "gssencmode=disable",
        "gssencmode=prefer",
        "client_encoding=utf8",
        "client_encoding=UTF-8",
        "keepalives=1&keepalives_idle=30&keepalives_interval=10&keepalives_count=3",
        "sslmode=",
        "&",
    ],
)
def test_dropped_parameters(parameter: str) -> None:
    """A parameter on which nothing depends leaves no trace."""
    assert parse_database_url(f"postgresql://h/db?{parameter}") == parse_database_url("postgresql://h/db")


@pytest.mark.parametrize(
    "parameter",
    [
        "channel_binding=require",
        "gssencmode=require",
        "client_encoding=latin1",
        "sslmode=yes",
        "ssl=1",
        "ssl_max_protocol_version=SSLv3",
        "connect_timeout=soon",
        "connect_timeout=nan",
        "timeout=1e999",
        "statement_cache_size=-1",
        "keepalives=yes",
        "target_session_attrs=writable",
    ],
)
def test_values_are_refused_by_the_name_of_their_parameter(parameter: str) -> None:
    """A value that cannot be honoured is refused with what may stand there, and is not repeated."""
    name, _, value = parameter.partition("=")
    message = refusal(f"postgresql://h/db?{parameter}").message
    assert message.startswith(f"{name} in the database URL must be ")
    assert f"={value}" not in message


@pytest.mark.parametrize(
    "name",
    [
        "currentSchema",
        "hostaddr",
        "krbsrvname",
        "pgbouncer",
        "pool_size",
        "require_auth",
        "service",
        "sslnegotiation",
    ],
)
def test_unknown_parameters_are_refused_by_name(name: str) -> None:
    """A parameter that tbcv does not know is named, with the place where the others are listed."""
    error = refusal(f"postgresql://h/db?{name}={SECRET}")
    assert f"parameter {name}," in error.message
    assert "docs/configuration.md" in error.hint


@pytest.mark.parametrize(
    "query",
    ["sslmode=require&ssl=require", "user=a&user=b", "timeout=1&connect_timeout=1", "options=a&options=b"],
)
def test_parameters_that_contradict_each_other_are_refused(query: str) -> None:
    """What is said twice is not decided by the order in which it is said."""
    assert "says again" in refusal(f"postgresql://h/db?{query}").message


@pytest.mark.parametrize("query", ["sslmode=require", "sslcert=c", "sslpassword=p&sslmode=verify-full"])
def test_system_certificates_go_with_full_verification_only(query: str) -> None:
    """The certificates of the system, as with libpq, are for verify-full."""
    assert "sslrootcert=system" in refusal(f"postgresql://h/db?sslrootcert=system&{query}").message


@pytest.mark.parametrize("text", ["", " ", "\n", "\t \r\n"])
def test_empty_is_refused(text: str) -> None:
    """An empty setting is called empty."""
    assert "is empty" in refusal(text).message


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:///a.db\n",
        " sqlite:///a.db",
        "sqlite:///a.db ",
        "sqlite:///a\tb.db",
        "sqlite:///a\x00b.db",
        "sqlite:///a\x7fb.db",
        "sqlite:///a\udce9.db",
        "\ufeffsqlite:///a.db",
        "postgresql://u:p\r\n@h/db",
    ],
)
def test_what_cannot_be_seen_is_refused(text: str) -> None:
    """A line break, a control character or a byte-order mark does not become part of a name."""
    assert "unprintable" in refusal(text).message


@pytest.mark.parametrize("text", ["sqlite:///a%00.db", "postgresql://u:p%0A@h/db", "postgresql://h/db?user=%07"])
def test_encoded_control_characters_are_refused(text: str) -> None:
    """Encoding a control character does not smuggle it in."""
    assert "control character" in refusal(text).message


@pytest.mark.parametrize("text", ["postgresql://u:%ff@h/db", "sqlite:///%e9.db", "postgresql://h/db?user=%ED%A0%80"])
def test_other_encodings_are_refused(text: str) -> None:
    """Bytes that are not UTF-8 are refused instead of becoming replacement characters."""
    assert "UTF-8" in refusal(text).message


@pytest.mark.parametrize("text", ["tbcv.db", "/srv/tbcv.db", "host=h user=u", "postgresql:/h/db", "://h/db", "a b://"])
def test_what_is_no_url_is_refused(text: str) -> None:
    """Text without a scheme gets examples."""
    error = refusal(text)
    assert "scheme" in error.message
    assert "sqlite:///file" in error.hint


@pytest.mark.parametrize(
    "scheme",
    [
        "mysql",
        "mysql+aiomysql",
        "oracle",
        "mongodb",
        "http",
        "file",
        "postgresql+pg8000",
        "sqlite+pysqlcipher",
    ],
)
def test_other_engines_and_drivers_are_refused(scheme: str) -> None:
    """Another engine or driver is named, together with those that would do."""
    error = refusal(f"{scheme}://u:{SECRET}@h/db")
    assert isinstance(error, UnsupportedDatabaseError)
    assert f"{scheme}://" in error.message
    for supported in ("sqlite:///file", "sqlite+aiosqlite://", "postgresql://", "postgresql+asyncpg://"):
        assert supported in error.hint


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://h:0/db",
        "postgresql://h:65536/db",
        "postgresql://h:port/db",
        "postgresql://h:-1/db",
        "postgresql://h:\N{ARABIC-INDIC DIGIT FIVE}/db",
        "postgresql://h1:1,h2:x/db",
        "postgresql:///db?host=h&port=x",
    ],
)
def test_bad_ports_are_refused(text: str) -> None:
    """A port is a number from 1 to 65535 in ASCII digits."""
    assert "port" in refusal(text).message


@pytest.mark.parametrize("text", ["postgresql://h1,h2/db?port=1,2,3", "postgresql://h/db?port=1,2"])
def test_ports_without_hosts_are_refused(text: str) -> None:
    """Several ports need as many hosts."""
    assert "as many ports" in refusal(text).message


@pytest.mark.parametrize(
    "host",
    [
        "[::1",
        "[]",
        "[zz::1]",
        "a%20b",
        "a%2Fb",
        "h1,,h2",
        "h1,",
        "a..b",
        "a" * 64,
        "[fe80::1%25eth0]",
        "%2Fa%2Cb",
    ],
)
def test_bad_hosts_are_refused(host: str) -> None:
    """A host that no resolver could look up is refused before it is asked."""
    assert "host" in refusal(f"postgresql://{host}/db").message


def test_trailing_space_of_a_database_is_refused() -> None:
    """A name that the end of a URL cannot show is refused."""
    assert "ends with a space" in refusal("postgresql://h/db%20").message
    assert "ends with a space" in refusal("postgresql://h?dbname=db+").message


@pytest.mark.parametrize(
    "password",
    [
        f"{SECRET}/x",
        f"{SECRET}?x",
        f"{SECRET}@x",
        f"{SECRET}?x=y",
        f"1/{SECRET}",
        f"1?{SECRET}",
        f"1?{SECRET}=1",
    ],
)
def test_passwords_that_were_not_encoded(password: str) -> None:
    """A raw slash, question mark or at sign in a password is refused with a hint, and none of it is shown."""
    error = refusal(f"postgresql://u:{password}@h/db")
    assert "percent-encode" in error.hint
    assert SECRET not in str(error)


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("sqlite:///./data/tbcv.db", "sqlite:///./data/tbcv.db"),
        ("postgres://u:p@h:5433/db?sslmode=require", "postgresql://u:***@h:5433/db"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("postgresql:///db?host=/var/run&user=u&password=p", "postgresql://u:***@/db?host=/var/run"),
        ("postgresql://u:p@h1,h2:2/db", "postgresql://u:***@/db?host=h1,h2&port=5432,2"),
        (f"postgresql://u:p@h/db?sslpassword={SECRET}&sslkey=k", "postgresql://u:***@h/db"),
    ],
)
def test_redacted(text: str, redacted: str) -> None:
    """What people are shown says who, where and which database, and hides the password."""
    address = parse_database_url(text)
    assert address.redacted == redacted
    assert str(address) == redacted
    assert repr(address) == f"DatabaseURL({redacted!r})"


@settings(deadline=None)
@given(user=printable, password=printable)
@example(user=":/@%?#", password="%:/@%?#%41+ ")
def test_any_user_and_password_survive(user: str, password: str) -> None:
    """Encoded names and passwords reach the driver as they are, from either part of a URL."""
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    before = parse_database_url(f"postgresql://{login}@h/db")
    after = parse_database_url(f"postgresql://h/db?user={quote(user)}&password={quote(password)}")
    assert before == after
    assert driver_arguments(before)["user"] == user
    assert driver_arguments(before)["password"] == password
    assert again(before) == before.url


@settings(deadline=None)
@given(user=printable, password=printable)
def test_no_password_shows(user: str, password: str) -> None:
    """What is printed is the same for every password, so it says nothing about any."""
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    given_one = parse_database_url(f"postgresql://{login}@h/db?sslpassword={quote(password)}&sslkey=k")
    other = parse_database_url(f"postgresql://{quote(user, safe='')}:other@h/db")
    assert given_one.redacted == other.redacted
    assert repr(given_one) == repr(other)
    assert str(given_one) == str(other)
    assert f"{given_one}" == str(other)


@settings(deadline=None)
@given(
    password=printable,
    template=st.sampled_from(
        [
            "mysql://u:{}@h/db",
            "postgresql://u:{}@h:x/db",
            "postgresql://u:{}@h/db?nope=1",
            "postgresql://u:{}@[h/db",
            "postgresql://h/db?password={}&sslmode=no",
            "postgresql://h/db?sslpassword={}&password=%00",
            "postgresql://h/db?passwd={}",
            "sqlite://u:{}@h/db",
            "u:{}@h/db",
        ]
    ),
)
def test_no_password_shows_in_an_error(password: str, template: str) -> None:
    """An error is the same for every password, so it says nothing about any."""
    error = refusal(template.format(quote(password, safe="")))
    assert str(error) == str(refusal(template.format("other")))


@settings(deadline=None)
@given(
    password=st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20),
    tail=st.sampled_from("/?@#:%&=,"),
)
def test_no_raw_password_shows(password: str, tail: str) -> None:
    """A password that was not encoded shows in no error, and where it parses, it is hidden or refused."""
    text = f"postgresql://user:{password}{tail}{SECRET}@h/db"
    try:
        shown = repr(parse_database_url(text))
    except ConfigurationError as error:
        shown = f"{error} {error!r}"
    assert SECRET not in shown


pieces = st.one_of(
    st.sampled_from([":", "/", "@", "?", "&", "=", ",", "[", "]", "%", "+", ".", "~", "://", ":memory:"]),
    st.sampled_from(["sqlite", "postgresql", "+asyncpg", "host", "port", "user", "dbname", "sslmode", "options"]),
    st.sampled_from(["h", "::1", "5432", "require", "%2F", "%41", "%ff"]),
)
texts = st.one_of(
    st.text(max_size=60),
    st.lists(st.one_of(pieces, st.text(max_size=3)), max_size=15).map("".join),
    st.lists(pieces, max_size=15).map(lambda found: "postgresql://" + "".join(found)),
    st.lists(pieces, max_size=9).map(lambda found: "sqlite:///" + "".join(found)),
    st.lists(pieces, max_size=12).map(lambda found: "postgresql:///db?host=" + "".join(found)),
)


@settings(deadline=None)
@given(texts)
@example("sqlite:///%20")
@example("postgresql:///?dbname=%20")
@example("postgresql:///?host=/a%20")
@example("postgresql://\udc80@h")
def test_junk_parses_or_is_refused(text: str) -> None:
    """Any text parses or raises a ConfigurationError; what parses suits SQLAlchemy and renders."""
    try:
        address = parse_database_url(text)
    except ConfigurationError:
        return
    assert address.url.drivername in {"sqlite+aiosqlite", "postgresql+asyncpg"}
    assert again(address) == address.url
    assert "\n" not in address.redacted
    if address.dialect == "postgresql":
        driver_arguments(address)
