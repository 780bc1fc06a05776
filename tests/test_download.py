"""Downloads from a server on this machine: verified, whole or not at all."""

import hashlib
import http.server
import os
import sys
import threading
from pathlib import Path
from time import monotonic
from types import SimpleNamespace

import data_files
import numpy as np
import pytest

import ncf_utils.data as data_module
from ncf_utils import download as downloads
from ncf_utils.data import DataError, load_dataset
from ncf_utils.download import Remote, git_blob_id

NOWHERE = "https://127.0.0.1:9/"  # the discard port: nothing listens, the answer is immediate


@pytest.fixture
def server(tmp_path):
    """A server on the loopback address; `files` is what it has, `log` what it was asked for."""
    state = SimpleNamespace(files={}, log=[], cut=set(), drip=None, pause=0, end=threading.Event())

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            state.log.append(self.path)
            content = state.files.get(self.path.lstrip("/"))
            if content is None:
                self.send_error(404)
                return
            if state.drip == "headers":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Sent: ")
                self.drip()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if state.drip == "body":
                self.drip()
            whole = self.path.lstrip("/") not in state.cut
            content = content if whole else content[: len(content) // 2]
            piece = -(-len(content) // 12) or 1
            for start in range(0, len(content), piece):
                self.wfile.write(content[start : start + piece])
                state.end.wait(state.pause)

        def drip(self):
            """A byte now and then, until the test has ended."""
            while not state.end.wait(0.02):
                self.wfile.write(b"x")

        def log_message(self, *_):
            pass

    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True).start()
    state.url = f"http://127.0.0.1:{listener.server_port}"
    yield state
    state.end.set()
    listener.shutdown()
    listener.server_close()


@pytest.fixture
def published(monkeypatch, tmp_path):
    """Small stand-ins under two of the real names, published at an address that never answers."""
    monkeypatch.setenv("NCF_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("NCF_DATA_DIR", raising=False)
    monkeypatch.delenv("NCF_MIRRORS", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    archive = data_files.zipped(data_files.movielens("ratings.dat"), inside="ml-1m")
    md5 = "md5:" + hashlib.md5(archive).hexdigest()
    paper = {name.replace("toy", "ml-1m"): text for name, text in data_files.PAPER.items()}
    blobs = tuple(Remote(n, NOWHERE, "git:" + git_blob_id(text)) for n, text in paper.items())
    remotes = {"ml-1m": (Remote("ml-1m.zip", NOWHERE, md5),), "ncf-ml-1m": blobs}
    monkeypatch.setattr(downloads, "REMOTES", remotes)
    sizes = {"ml-1m": (4, 10, 13), "ncf-ml-1m": (3, 12, 9)}
    monkeypatch.setattr(data_module, "SIZES", sizes)
    return {"ml-1m.zip": archive, **paper}


def load(name, **options):
    return load_dataset(name, **{"num_candidates": 3, **options})


def files_in(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_archive_from_a_mirror(server, published, tmp_path, capfd):
    server.files = published
    data = load("ml-1m", mirrors=[server.url])
    assert (data.name, data.num_users, data.num_items) == ("ml-1m", 4, 10)
    assert data.titles([1]) == ["Second (1996)"]
    assert server.log == ["/ml-1m.zip"]
    assert files_in(tmp_path / "cache") == ["ml-1m/ml-1m.parsed.npz", "ml-1m/ml-1m.zip"]
    assert "100%" in capfd.readouterr().err  # the progress bar

    again = load("ml-1m")  # neither a mirror nor the network is asked again
    assert server.log == ["/ml-1m.zip"]
    assert np.array_equal(again.train.item, data.train.item)


def test_paper_files_from_a_mirror_in_the_environment(server, published, monkeypatch, tmp_path):
    server.files = {f"deep/{name}": content for name, content in published.items()}
    monkeypatch.setenv("NCF_MIRRORS", f"{NOWHERE}, {server.url}/deep/")
    data = load("ncf-ml-1m")
    assert repr(data) == ("Dataset('ncf-ml-1m': 3 users x 12 items, 6 train, 3 validation, 3 test)")
    assert sorted(server.log) == sorted(f"/deep/{name}" for name in published if "zip" not in name)
    assert "no titles" in data.notes[0]


def test_titles_are_joined_from_the_archive(server, published, monkeypatch, tmp_path):
    """Item numbers of the paper's files count movies as ratings.dat first names them."""
    movies = [50, 10, 40, 20, 30]  # movie ids in the order of their first appearance
    ratings, train, test = [], [], []
    rows = [(0, [0, 1, 2]), (1, [1, 3, 4, 0]), (2, [4, 2])]
    for user, items in rows:
        for time, item in enumerate(items):
            ratings.append((user + 1, movies[item], 3, time))
            line = f"{user}\t{item}\t3\t{time}\n"
            (test if item == items[-1] else train).append(line)
    candidates = ["(0,2)\t3\t4\n", "(1,0)\t2\t2\n", "(2,2)\t0\t1\n"]
    files = data_files.movielens("ratings.dat", ratings, data_files.MOVIES)
    paper = {
        "ml-1m.train.rating": "".join(train).encode(),
        "ml-1m.test.rating": "".join(test).encode(),
        "ml-1m.test.negative": "".join(candidates).encode(),
    }
    sizes = {"ml-1m": (3, 5, 9), "ncf-ml-1m": (3, 5, 6)}
    monkeypatch.setattr(data_module, "SIZES", sizes)
    data_files.write(tmp_path / "data" / "ncf-ml-1m", paper)
    data_dir = tmp_path / "data"
    bare = load("ncf-ml-1m", data_dir=data_dir, num_candidates=1)
    assert bare.items is None and "no titles" in bare.notes[-1]

    data_files.write(data_dir / "ml-1m", files)
    for _ in range(2):  # the second time, the numbering comes from the cache
        data = load("ncf-ml-1m", data_dir=data_dir, num_candidates=1)
        assert data.item_ids.tolist() == movies
        assert data.titles([0, 3]) == ["Fifth (1997)", "Second (1996)"]
        assert not any("no titles" in note for note in data.notes)

    # Other ratings than those that the paper's files were made of give no titles.
    other = data_files.movielens("ratings.dat", ratings[:-1], data_files.MOVIES)
    data_files.write(data_dir / "ml-1m", other)
    assert load("ncf-ml-1m", data_dir=data_dir, num_candidates=1).items is None


def test_wrong_content_is_refused_then_the_next_mirror_is_asked(server, published, tmp_path):
    server.files = {"bad/ml-1m.zip": b"<html>please log in</html>", "good/ml-1m.zip": b""}
    server.files["good/ml-1m.zip"] = published["ml-1m.zip"]
    with pytest.raises(DataError) as error:
        load("ml-1m", mirrors=[f"{server.url}/bad"])
    message = str(error.value)
    digest = hashlib.md5(b"<html>please log in</html>").hexdigest()
    assert f"{server.url}/bad/ml-1m.zip: expected content of md5:" in message
    assert f"found md5:{digest}" in message
    assert files_in(tmp_path / "cache") == []

    load("ml-1m", mirrors=[f"{server.url}/bad", f"{server.url}/good"])
    assert server.log == ["/bad/ml-1m.zip", "/bad/ml-1m.zip", "/good/ml-1m.zip"]


def test_wrong_paper_file_is_refused(server, published, tmp_path):
    server.files = published | {"ml-1m.test.rating": published["ml-1m.test.rating"] + b"\n"}
    with pytest.raises(DataError, match=r"ml-1m\.test\.rating: expected content of git:"):
        load("ncf-ml-1m", mirrors=[server.url])
    assert files_in(tmp_path / "cache") == ["ncf-ml-1m/ml-1m.train.rating"]
    server.files = published
    load("ncf-ml-1m", mirrors=[server.url])
    assert server.log.count("/ml-1m.train.rating") == 1  # what is there whole is not asked again


def test_absent_on_one_mirror(server, published):
    server.files = {"b/ml-1m.zip": published["ml-1m.zip"]}
    load("ml-1m", mirrors=[f"{server.url}/a/", f"{server.url}/b/"])
    assert server.log == ["/a/ml-1m.zip", "/b/ml-1m.zip"]


def test_download_cut_short(server, published, tmp_path):
    server.files, server.cut = published, {"ml-1m.zip"}
    with pytest.raises(DataError, match=r"ml-1m\.zip could not be downloaded"):
        load("ml-1m", mirrors=[server.url])
    assert files_in(tmp_path / "cache") == []
    server.cut = set()
    assert load("ml-1m", mirrors=[server.url]).num_users == 4


@pytest.mark.parametrize("where", ["headers", "body"])
def test_a_server_that_drips_is_given_up(server, published, monkeypatch, tmp_path, where):
    """It is never silent for long, and never ends."""
    monkeypatch.setattr(downloads, "TIMEOUT", 0.5)
    server.files, server.drip = published, where
    begun = monotonic()
    with pytest.raises(DataError, match=r"/ml-1m\.zip: Timeout: too slow: 0 bytes after \d+ s\n"):
        load("ml-1m", mirrors=[server.url])
    assert 1 <= monotonic() - begun < 5
    assert server.log == ["/ml-1m.zip"] and files_in(tmp_path / "cache") == []
    server.drip = None
    monkeypatch.setattr(downloads, "TIMEOUT", 30)
    assert load("ml-1m", mirrors=[server.url]).num_users == 4


@pytest.mark.parametrize(("slowest", "longest", "comes"), [(1, 9, 1), (10**9, 9, 0), (1, 0.3, 0)])
def test_how_slow_a_server_may_be(server, published, monkeypatch, slowest, longest, comes):
    """It is never silent for half a second, and takes 1.2 s."""
    monkeypatch.setattr(downloads, "REMOTES", {"ml-1m": (Remote("ml-1m.zip", NOWHERE, "md5:0"),)})
    limits = {"TIMEOUT": 0.5, "CHUNK": 10, "SLOWEST": slowest, "LONGEST": longest}
    for name, value in limits.items():
        monkeypatch.setattr(downloads, name, value)
    server.files, server.pause = published, 0.1
    with pytest.raises(DataError) as error:
        load("ml-1m", mirrors=[server.url])
    told = "expected content of md5:0, found md5:" if comes else "Timeout: too slow: "
    assert f"{server.url}/ml-1m.zip: {told}" in str(error.value)


def test_half_written_file_is_never_picked_up(server, published, tmp_path):
    """What a killed download leaves does not have the file's name."""
    folder = tmp_path / "cache" / "ml-1m"
    data_files.write(folder, {".ml-1m.zip.0123.part": published["ml-1m.zip"][:50]})
    server.files = published
    assert load("ml-1m", mirrors=[server.url]).num_users == 4
    assert server.log == ["/ml-1m.zip"]


def test_no_network(published, tmp_path):
    with pytest.raises(DataError) as error:
        load("ncf-ml-1m")
    message = str(error.value)
    assert message.startswith("ml-1m.train.rating could not be downloaded")
    assert f"{NOWHERE}ml-1m.train.rating: ConnectionError" in message
    assert "folder named ncf-ml-1m" in message and "NCF_DATA_DIR" in message
    assert files_in(tmp_path / "cache") == []


def test_no_answer_names_the_status(server, published):
    with pytest.raises(DataError, match=r"/ml-1m\.zip: HTTP 404"):
        load("ml-1m", mirrors=[server.url])


def test_download_false(published):
    with pytest.raises(DataError, match="ml-1m is not on this machine, and download=False"):
        load("ml-1m", download=False)


@pytest.mark.parametrize("mirror", ["ftp://127.0.0.1/", "example", "/some/folder"])
def test_mirror_that_is_no_address(published, mirror):
    with pytest.raises(DataError, match="mirror .*: expected an address that begins with https://"):
        load("ml-1m", mirrors=mirror)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_full_disk(server, published, monkeypatch, tmp_path):
    """The system refuses to write more than 100,000 bytes to a file, as a full disk would."""
    import resource

    big = data_files.zipped({"ratings.dat": np.random.default_rng(0).bytes(300_000)})
    md5 = "md5:" + hashlib.md5(big).hexdigest()
    monkeypatch.setattr(downloads, "REMOTES", {"ml-1m": (Remote("ml-1m.zip", NOWHERE, md5),)})
    server.files = {"ml-1m.zip": big}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(DataError, match=r"ml-1m\.zip: cannot be written: .*[Ff]ile too large"):
            load("ml-1m", mirrors=[server.url])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files_in(tmp_path / "cache") == []


def test_cache_folder_that_cannot_be_made(server, published, monkeypatch, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("NCF_CACHE_DIR", str(tmp_path / "file"))
    server.files = published
    with pytest.raises(DataError, match=r"ml-1m\.zip: cannot be written"):
        load("ml-1m", mirrors=[server.url])


def test_data_dir_comes_before_the_network(server, published, monkeypatch, tmp_path):
    data_files.write(tmp_path / "data" / "ml-1m", data_files.movielens("ratings.dat"))
    monkeypatch.setenv("NCF_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("NCF_MIRRORS", server.url)
    assert load("ml-1m").num_users == 4
    assert server.log == []


@pytest.mark.parametrize("place", ["ml-1m.zip", "ml-1m/ml-1m.zip"])
def test_archive_put_into_data_dir_by_hand(published, place, tmp_path):
    path = tmp_path / "data" / place
    path.parent.mkdir(parents=True)
    path.write_bytes(published["ml-1m.zip"])
    data = load("ml-1m", data_dir=tmp_path / "data")
    assert (data.num_users, data.titles([1])) == (4, ["Second (1996)"])


def test_archive_unpacked_into_its_own_folder(published, tmp_path):
    data_files.write(tmp_path / "ml-1m" / "ml-1m", data_files.movielens("ratings.dat"))
    assert load("ml-1m", data_dir=tmp_path).num_users == 4


def test_counts_of_a_folder_in_data_dir_are_checked(published, tmp_path):
    files = data_files.movielens("ratings.dat", data_files.RATINGS[1:])
    data_files.write(tmp_path / "ml-1m", files)
    with pytest.raises(DataError, match="expected 4 users, 10 items, 13 interactions, as in the"):
        load("ml-1m", data_dir=tmp_path)


def test_oddities_of_a_published_file_are_kept_and_noted(published, tmp_path):
    """Where a file of a user's own would be refused; a repeated pair counts once."""
    files = {name: text for name, text in published.items() if "zip" not in name}
    files["ml-1m.train.rating"] += b"1\t4\t1\t70\n1\t0\t1\t80\n"
    data_files.write(tmp_path / "ncf-ml-1m", files)
    with pytest.raises(DataError, match="line 10: expected each pair once"):
        load(tmp_path / "ncf-ml-1m")
    with pytest.raises(DataError, match="expected 3 users, 12 items, 9 interactions"):
        load("ncf-ml-1m", data_dir=tmp_path)  # a pair too many
    files["ml-1m.train.rating"] = files["ml-1m.train.rating"].replace(b"1\t5\t1\t50\n", b"")
    data_files.write(tmp_path / "ncf-ml-1m", files)
    data = load("ncf-ml-1m", data_dir=tmp_path, validation=None)
    assert data.train.items_of(1).tolist() == [4, 0]
    assert data.notes[:2] == (
        "1 lines of ml-1m.train.rating repeat a pair: each pair counts once",
        "1 held-out items are in their user's training too",
    )


def test_git_blob_id():
    """As `git hash-object` gives it; and the paper's own files where they are at hand."""
    assert git_blob_id(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_published_files_have_the_published_ids():
    folder = Path(os.environ.get("NCF_DATA_DIR") or "nowhere") / "ncf-ml-1m"
    if not folder.is_dir():
        pytest.skip("NCF_DATA_DIR names no folder that holds ncf-ml-1m")
    digests = {remote.file: remote.digest for remote in downloads.REMOTES["ncf-ml-1m"]}
    for name in ("ml-1m.test.rating", "ml-1m.test.negative"):
        assert "git:" + git_blob_id((folder / name).read_bytes()) == digests[name]


def test_published_sources():
    """https only, and the checksums that GroupLens and the paper's repository give."""
    remotes = {remote.file: remote for group in downloads.REMOTES.values() for remote in group}
    assert all(remote.base.startswith("https://") for remote in remotes.values())
    assert set(downloads.REMOTES) == set(data_module.SIZES) - set(data_module.LOCAL)
    expected = {
        "ml-100k.zip": "md5:0e33842e24a9c977be4e0107933c0723",
        "ml-1m.zip": "md5:c4d9eecfca2ab87c1945afe126590906",
        "ml-20m.zip": "md5:cd245b17a1ae2cc31bb14903e1204af3",
        "ml-25m.zip": "md5:6b51fb2759a8657d3bfcbfc42b592ada",
        "ml-1m.train.rating": "git:31ba384fd58dac8fbd09d2dfc6616431f3563ab5",
        "ml-1m.test.rating": "git:1b79e03c96710c3b0c35deb19155ef74f7965a02",
        "ml-1m.test.negative": "git:c82844fb99d021f94751a6f915a230a1e8b8da92",
        "pinterest-20.train.rating": "git:99813f8ed7486c36fa0f405e3f400db5d6fed0be",
        "pinterest-20.test.rating": "git:87fdbd13bced61c51f2842e2a667e83b9b0084e3",
        "pinterest-20.test.negative": "git:b752ccdc14df423b9484771440ff4a73e4a4a304",
    }
    assert {name: remote.digest for name, remote in remotes.items()} == expected
