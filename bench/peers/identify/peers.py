"""Exact 1:N face search by other people's software, one query at a time on one thread.

Writes one JSON object to standard output, an entry a peer:

    p50_ms, p99_ms, qps   of single queries
    queries               how many were timed
    decisions             for each probe the row of its best template, -1 where that one is below the
                          threshold, null where the time was over before the probe's turn
    build_seconds         to index the templates, on one thread unless said below
    resident_bytes        memory in use for answering; for PostgreSQL the table's size on disk
    index_bytes           the part of it that every query reads, where the rest is for the rerank only
    batch_qps             faiss_flat only: 32 queries a call, on two threads
    software, note        versions, and which of several ways was the fastest and taken

or {"skipped": why} or, with exit status 1, {"error": how it ended}.

Peers, by inner product of unit vectors unless said:

    faiss_flat            IndexFlatIP: float32, every one compared
    faiss_sq8             IndexScalarQuantizer of 8 bits a dimension; its score is the quantised one
    faiss_binary_rerank   IndexBinaryFlat: Hamming distance of the signs after a random rotation, then
                          the nearest 100 by float32
    faiss_rabitq_rerank   IndexRaBitQFastScan after the same rotation, then the best 100 by float32
    usearch_exact         usearch's search without an index, over int8 or float32
    usearch_hnsw          usearch's graph over float16, M = 16, built on all cores, searched with ef 64
    usearch_hnsw_512      the same graph with ef 512; comes with usearch_hnsw
    pgvector              PostgreSQL's sequential scan of a table of `vector` in shared memory
    pgvector_halfvec      the same of `halfvec`, float16

Graphs take minutes to build and lose matches, so they are left out past 100,000 templates.
"""

import argparse
import ctypes
import gc
import json
import os
import pwd
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import numpy as np

WARM_UP = 3
LEAST = 20
RERANKED = 100
IN_FLIGHT = 32
BATCH_THREADS = 2
CHUNK = 65_536
GRAPH_LIMIT = 100_000
POSTGRES_READY_WITHIN = 60


def say(text):
    print(f"peers: {text}", file=sys.stderr, flush=True)


def anonymous_bytes():
    """What this process keeps, without the pages of mapped files."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status says no RssAnon")


@contextmanager
def building():
    cost = {}
    before, started = anonymous_bytes(), time.perf_counter()
    yield cost
    cost["build_seconds"] = time.perf_counter() - started
    cost["resident_bytes"] = anonymous_bytes() - before


def chunks(rows):
    for start in range(0, len(rows), CHUNK):
        yield start, rows[start : start + CHUNK]


def fastest(ways, probes):
    """The name and the function of the quickest of several that answer alike."""
    medians = {}
    for name, ask in ways.items():
        took = []
        for probe in islice(probes, 8):
            started = time.perf_counter_ns()
            ask(probe)
            took.append(time.perf_counter_ns() - started)
        medians[name] = np.median(took[1:] or took)
    name = min(medians, key=medians.get)
    return name, ways[name]


def measure(ask, probes, seconds):
    decisions = [None] * len(probes)
    took = []
    for at in range(WARM_UP):
        ask(probes[at % len(probes)])
    gc.collect()
    gc.disable()
    until = time.perf_counter() + seconds
    while len(took) < LEAST or time.perf_counter() < until:
        at = len(took) % len(probes)
        probe = probes[at]
        started = time.perf_counter_ns()
        answer = ask(probe)
        took.append(time.perf_counter_ns() - started)
        if decisions[at] is None:
            decisions[at] = answer
    gc.enable()
    p50, p99 = np.percentile(took, [50, 99]) / 1e6
    return {
        "p50_ms": p50,
        "p99_ms": p99,
        "qps": len(took) * 1e9 / sum(took),
        "queries": len(took),
        "decisions": decisions,
    }


def measure_batches(ask, probes, seconds):
    starts = range(0, len(probes), IN_FLIGHT)
    batches = [np.take(probes, range(at, at + IN_FLIGHT), axis=0, mode="wrap") for at in starts]
    ask(batches[0])
    done, started = 0, time.perf_counter()
    while done < 3 or time.perf_counter() < started + seconds:
        ask(batches[done % len(batches)])
        done += 1
    return done * IN_FLIGHT / (time.perf_counter() - started)


class Gallery:
    """The templates, and how a best score becomes a decision."""

    def __init__(self, templates, threshold):
        self.templates = templates
        self.threshold = threshold
        self.count, self.dimension = templates.shape

    def decide(self, row, score):
        return int(row) if score >= self.threshold else -1

    def rotation(self):
        """A random orthogonal matrix, so that every bit says as much whatever the data."""
        normal = np.random.default_rng(20).standard_normal((self.dimension, self.dimension))
        q, r = np.linalg.qr(normal)
        rotation = np.ascontiguousarray(q * np.sign(np.diag(r)), dtype=np.float32)
        # The first large product makes buffers that stay and are no index's.
        self.templates[:CHUNK] @ rotation.T
        return rotation

    def rerank(self, rows, probe):
        scores = self.templates[rows] @ probe
        best = scores.argmax()
        return self.decide(rows[best], scores[best])

    def reranked(self, cost):
        # The rerank reads the mapped file, which is in memory since the build
        # read it: memory that it needs, and that the process's own lacks.
        index = cost["resident_bytes"]
        return cost | {"index_bytes": index, "resident_bytes": index + self.templates.nbytes}


def faiss_software():
    import faiss

    return f"faiss-cpu {version('faiss-cpu')} ({faiss.SIMDConfig.get_level_name()})"


def faiss_scan(gallery, index):
    def ask(probe):
        scores, rows = index.search(probe[None], 1)
        return gallery.decide(rows[0, 0], scores[0, 0])

    return ask


def faiss_flat(gallery, probes, options):
    import faiss

    faiss.omp_set_num_threads(1)
    with building() as cost:
        index = faiss.IndexFlatIP(gallery.dimension)
        index.add(gallery.templates)
    result = cost | measure(faiss_scan(gallery, index), probes, options.seconds)
    faiss.omp_set_num_threads(BATCH_THREADS)
    rates = {}
    for name, threshold in (("with BLAS", 1), ("without BLAS", IN_FLIGHT + 1)):
        faiss.cvar.distance_compute_blas_threshold = threshold
        rates[name] = measure_batches(lambda batch: index.search(batch, 1), probes, options.seconds / 2)
    best = max(rates, key=rates.get)
    yield "faiss_flat", result | {"batch_qps": rates[best], "software": faiss_software(), "note": f"batches {best}"}


def faiss_sq8(gallery, probes, options):
    import faiss

    faiss.omp_set_num_threads(1)
    with building() as cost:
        index = faiss.IndexScalarQuantizer(
            gallery.dimension, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        )
        index.train(gallery.templates[:CHUNK])
        index.add(gallery.templates)
    result = measure(faiss_scan(gallery, index), probes, options.seconds)
    yield "faiss_sq8", cost | result | {"software": faiss_software()}


def faiss_binary_rerank(gallery, probes, options):
    import faiss

    faiss.omp_set_num_threads(1)
    rotation = gallery.rotation()
    with building() as cost:
        codes = np.empty((gallery.count, gallery.dimension // 8), dtype=np.uint8)
        for start, rows in chunks(gallery.templates):
            codes[start : start + len(rows)] = np.packbits(rows @ rotation.T > 0, axis=1)
        index = faiss.IndexBinaryFlat(gallery.dimension)
        index.add(codes)
        del codes, rows
    nearest = min(RERANKED, gallery.count)

    def way(use_heap):
        def ask(probe):
            index.use_heap = use_heap
            code = np.packbits(rotation @ probe > 0)
            _, rows = index.search(code[None], nearest)
            return gallery.rerank(rows[0], probe)

        return ask

    name, ask = fastest({"selected by heap": way(True), "selected by counting": way(False)}, probes)
    result = gallery.reranked(cost) | measure(ask, probes, options.seconds)
    yield "faiss_binary_rerank", result | {"software": faiss_software(), "note": name}


def faiss_rabitq_rerank(gallery, probes, options):
    import faiss

    faiss.omp_set_num_threads(1)
    rotation = gallery.rotation()
    kind = "IndexRaBitQFastScan" if hasattr(faiss, "IndexRaBitQFastScan") else "IndexRaBitQ"
    with building() as cost:
        index = getattr(faiss, kind)(gallery.dimension, faiss.METRIC_INNER_PRODUCT)
        index.train(gallery.templates[:CHUNK] @ rotation.T)
        for _, rows in chunks(gallery.templates):
            index.add(rows @ rotation.T)
    index.qb = 8
    nearest = min(RERANKED, gallery.count)

    def ask(probe):
        _, rows = index.search((rotation @ probe)[None], nearest)
        return gallery.rerank(rows[0], probe)

    result = gallery.reranked(cost) | measure(ask, probes, options.seconds)
    yield "faiss_rabitq_rerank", result | {"software": faiss_software(), "note": kind}


def usearch_software():
    return f"usearch {version('usearch')}"


def usearch_exact(gallery, probes, options):
    from usearch.index import MetricKind, search

    with building() as cost:
        # One scale for all, or inner products of int8 would not compare.
        largest = max(float(np.abs(rows).max()) for _, rows in chunks(gallery.templates))
        small = np.empty(gallery.templates.shape, dtype=np.int8)
        for start, rows in chunks(gallery.templates):
            small[start : start + len(rows)] = np.rint(rows * (127 / largest))

    def find(rows, probe):
        found = search(rows, probe, 1, MetricKind.IP, exact=True, threads=1)
        return found.keys[0], 1 - found.distances[0]

    def float32(probe):
        return gallery.decide(*find(gallery.templates, probe))

    def int8(probe):
        scale = 127 / np.abs(probe).max()
        row, score = find(small, np.rint(probe * scale).astype(np.int8))
        return gallery.decide(row, score * largest / (127 * scale))

    name, ask = fastest({"float32": float32, "int8": int8}, probes)
    if ask is float32:
        cost["resident_bytes"] = gallery.templates.nbytes
    result = measure(ask, probes, options.seconds)
    yield "usearch_exact", cost | result | {"software": usearch_software(), "note": name}


def usearch_hnsw(gallery, probes, options):
    from usearch.index import Index

    with building() as cost:
        index = Index(ndim=gallery.dimension, metric="ip", dtype="f16", connectivity=16, expansion_add=128)
        index.add(np.arange(gallery.count), gallery.templates, threads=os.cpu_count())

    def ask(probe):
        found = index.search(probe, 1, threads=1)
        return gallery.decide(found.keys[0], 1 - found.distances[0]) if len(found) else -1

    for name, effort in (("usearch_hnsw", 64), ("usearch_hnsw_512", 512)):
        index.expansion_search = effort
        result = measure(ask, probes, options.seconds)
        yield name, cost | result | {"software": usearch_software(), "note": f"ef {effort}"}


# Runs the server until its own input ends, however the process that holds the
# other end does, then stops it and tidies up.
KEEPER = """folder=$1; shift
"$@" </dev/null & server=$!
cat >/dev/null
kill -QUIT $server 2>/dev/null; wait $server 2>/dev/null
rm -rf "$folder"
"""


@contextmanager
def postgres(programs, parent, shared_bytes):
    """A connection to a private server with no port, only a socket in its folder."""
    import psycopg

    folder = Path(tempfile.mkdtemp(prefix="pg-", dir=parent))
    user = []
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root, and another user has to get there.
        known = {entry.pw_name: entry for entry in pwd.getpwall()}
        entry = known.get("postgres") or known["nobody"]
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        os.chmod(parent, os.stat(parent).st_mode | 0o011)
        user = ["setpriv", "--reuid", str(entry.pw_uid), "--regid", str(entry.pw_gid), "--clear-groups", "--"]
    data = folder / "data"
    made = subprocess.run(
        [
            *(*user, programs / "initdb", "-D", data, "--username=bench", "--auth=trust"),
            *("--encoding=UTF8", "--no-locale", "--no-sync"),
        ],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if made.returncode != 0:
        subprocess.run(["rm", "-rf", folder], check=True)
        raise RuntimeError(f"initdb failed: {made.stderr}")
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": folder,
        "shared_buffers": f"{shared_bytes // 8192}",
        "max_parallel_workers_per_gather": 0,
        "jit": "off",
        "fsync": "off",
        "autovacuum": "off",
    }
    server = [*user, programs / "postgres", "-D", data]
    for name, value in settings.items():
        server += ["-c", f"{name}={value}"]
    with open(folder / "log", "w") as log:
        keeper = subprocess.Popen(
            ["sh", "-c", KEEPER, "keeper", folder, *server],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + POSTGRES_READY_WITHIN
        while True:
            try:
                connection = psycopg.connect(host=str(folder), user="bench", dbname="postgres", autocommit=True)
                break
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL is not ready: {(folder / 'log').read_text()}") from None
                time.sleep(0.05)
        with connection:
            yield connection
    finally:
        keeper.stdin.close()
        keeper.wait()


def pgvector_of(gallery, probes, options, peer, kind, component):
    import psycopg.adapt
    import psycopg.pq

    size = gallery.dimension * np.dtype(component).itemsize
    # A page holds whole rows: 24 bytes of page header, 28 + 4 of row and id, 8
    # of vector header.
    pages = gallery.count // (8168 // (size + 40)) + 1
    # A table larger than a quarter of the shared buffers would be read anew
    # from the operating system for each query. What stays unused is no memory.
    shared = min(5 * pages * 8192 + (128 << 20), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 6 // 10)
    with postgres(options.pg_bin, options.folder, shared) as connection:
        connection.execute("create extension vector")
        started = time.perf_counter()
        with connection.transaction():
            connection.execute(f"create unlogged table face (id integer, vector {kind}({gallery.dimension}))")
            # Stored in the row: moved out of it, each would cost a look-up.
            connection.execute("alter table face alter column vector set storage plain")
            load(connection, gallery, component)
        connection.execute("analyze face")
        cost = {"build_seconds": time.perf_counter() - started}
        cost["resident_bytes"] = connection.execute("select pg_total_relation_size('face')").fetchone()[0]
        server, extension, oid = connection.execute(
            "select current_setting('server_version'), (select extversion from pg_extension where extname = 'vector'),"
            " %s::regtype::oid",
            [kind],
        ).fetchone()
        header = np.array([gallery.dimension, 0], dtype=">i2").tobytes()

        class Dumper(psycopg.adapt.Dumper):
            format = psycopg.pq.Format.BINARY

            def dump(self, probe):
                return header + probe.astype(component).tobytes()

        Dumper.oid = oid
        connection.adapters.register_dumper(np.ndarray, Dumper)
        query = "select id, vector <#> %(probe)b as distance from face order by distance limit 1"
        cursor = connection.cursor(binary=True)

        def ask(probe):
            row, distance = cursor.execute(query, {"probe": probe}, prepare=True).fetchone()
            return gallery.decide(row, -distance)

        result = measure(ask, probes, options.seconds)
        yield peer, cost | result | {"software": f"PostgreSQL {server}, pgvector {extension}"}


def load(connection, gallery, component):
    layout = np.dtype([
        ("columns", ">i2"),
        ("id_length", ">i4"),
        ("id", ">i4"),
        ("length", ">i4"),
        ("dimension", ">i2"),
        ("unused", ">i2"),
        ("vector", component, gallery.dimension),
    ])
    with connection.cursor().copy("copy face from stdin (format binary, freeze)") as copy:
        copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        # In smaller pieces: one message of the protocol each.
        for start in range(0, gallery.count, 4096):
            rows = gallery.templates[start : start + 4096]
            block = np.zeros(len(rows), dtype=layout)
            block["columns"] = 2
            block["id_length"] = 4
            block["id"] = np.arange(start, start + len(rows))
            block["length"] = 4 + rows.shape[1] * layout["vector"].base.itemsize
            block["dimension"] = rows.shape[1]
            block["vector"] = rows
            copy.write(block.tobytes())
        copy.write(b"\xff\xff")


def pgvector(gallery, probes, options):
    yield from pgvector_of(gallery, probes, options, "pgvector", "vector", ">f4")


def pgvector_halfvec(gallery, probes, options):
    yield from pgvector_of(gallery, probes, options, "pgvector_halfvec", "halfvec", ">f2")


PEERS = {
    peer.__name__: peer
    for peer in (
        faiss_flat,
        faiss_sq8,
        faiss_binary_rerank,
        faiss_rabitq_rerank,
        usearch_exact,
        usearch_hnsw,
        pgvector,
        pgvector_halfvec,
    )
}


def vectors(path):
    array = np.load(path, mmap_mode="r").view(np.ndarray)
    if array.dtype != np.float32 or array.ndim != 2 or not array.flags.c_contiguous or not array.size:
        raise SystemExit(f"peers: {path} is not a matrix of float32, row by row")
    return array


def peers_named(text):
    names = text.split(",")
    for name in names:
        if name not in PEERS:
            raise argparse.ArgumentTypeError(f"no peer {name}; there are: {','.join(PEERS)}")
    return names


def arguments():
    parser = argparse.ArgumentParser(description="What exact 1:N search costs with other people's software")
    parser.add_argument("--templates", required=True, type=Path, metavar="FILE.npy", help="float32, n x d, unit rows")
    parser.add_argument("--probes", required=True, type=Path, metavar="FILE.npy", help="float32, m x d, unit rows")
    parser.add_argument("--threshold", type=float, default=0.45)
    parser.add_argument("--seconds", type=float, default=10, help=f"for a peer's queries, {LEAST} at least")
    parser.add_argument("--peers", type=peers_named, default=list(PEERS), help=",".join(PEERS))
    parser.add_argument("--pg-bin", type=Path, metavar="DIR", help="PostgreSQL's programs, with pgvector installed")
    parser.add_argument("--folder", required=True, type=Path, metavar="DIR", help="for PostgreSQL's data")
    parser.add_argument("--alone", choices=PEERS, help=argparse.SUPPRESS)
    return parser.parse_args()


def exit_with_parent():
    # Not by sys.stdin, whose lock the interpreter wants when it ends.
    os.read(0, 1)
    os._exit(1)


def alone(options):
    """One peer, in a process of its own: what others have allocated would blur its memory."""
    threading.Thread(target=exit_with_parent, daemon=True).start()
    gallery = Gallery(vectors(options.templates), options.threshold)
    # Probes in the process's own memory: their first use is no query's cost.
    probes = np.array(vectors(options.probes))
    if probes.shape[1] != gallery.dimension or gallery.dimension % 8:
        raise SystemExit("peers: templates and probes need one dimension, a multiple of 8")
    return dict(PEERS[options.alone](gallery, probes, options))


def reason_to_skip(peer, options):
    if peer == "usearch_hnsw" and len(vectors(options.templates)) > GRAPH_LIMIT:
        return f"more than {GRAPH_LIMIT} templates"
    if peer.startswith("pgvector") and options.pg_bin is None:
        return "no --pg-bin"
    return None


def main():
    options = arguments()
    # Absolute before PostgreSQL changes folders.
    options.folder = options.folder.resolve()
    options.pg_bin = options.pg_bin and options.pg_bin.absolute()
    if options.alone:
        print(json.dumps(alone(options)))
        return
    # A library's own choice of kernel and of threads is its best, but for
    # numpy's threads, which single queries must not use.
    chosen = ("GOMP_", "OMP_", "OPENBLAS_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(chosen)}
    environment["OPENBLAS_NUM_THREADS"] = "1"
    results = {}
    for peer in options.peers:
        if why := reason_to_skip(peer, options):
            say(f"{peer} skipped: {why}")
            results[peer] = {"skipped": why}
            continue
        say(peer)
        child = subprocess.Popen(
            [sys.executable, __file__, *sys.argv[1:], "--alone", peer],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        answer = child.stdout.read()
        if child.wait() == 0:
            results |= json.loads(answer)
        else:
            results[peer] = {"error": f"exit status {child.returncode}"}
    print(json.dumps(results))
    if any("error" in result for result in results.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
