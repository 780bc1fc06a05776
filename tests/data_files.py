"""Small files in the real formats, for the tests of data sets: written out here, never random."""

import io
import zipfile

# Four users and ten items. User 1's ratings of 30 and 20 are at the same time: the later line wins.
RATINGS = [  # user id, movie id, rating, timestamp
    (1, 30, 4, 500),
    (1, 20, 5, 500),
    (1, 10, 3, 100),
    (1, 40, 2, 300),
    (2, 20, 1, 900),
    (2, 50, 4, 800),
    (2, 10, 5, 700),
    (3, 60, 3, 10),
    (3, 70, 3, 20),
    (7, 10, 4, 1),
    (7, 80, 4, 2),
    (7, 90, 4, 3),
    (7, 100, 5, 4),
]
MOVIES = {
    10: ("Café, or: a Tale (1995)", "Comedy|Drama"),
    20: ("Second (1996)", "Drama"),
    30: ("Third (1997)", "Action"),
    40: ("Fourth (1997)", "Action|Western"),
    50: ("Fifth (1997)", "War"),
    60: ("Sixth (1997)", "Comedy"),
    70: ("Seventh (1997)", "Comedy"),
    80: ("", "Drama"),
    90: ("Ninth (1997)", "Crime"),
    100: ("Tenth (1997)", "Drama"),
    999: ("Never rated (1997)", "Drama"),
}
LAYOUTS = ("ratings.csv", "ratings.dat", "u.data")


def movielens(layout, ratings=RATINGS, movies=MOVIES):
    """Return {file name: content} of a MovieLens data set in the layout of that name."""
    if layout == "ratings.csv":
        lines = ["userId,movieId,rating,timestamp", *(",".join(map(str, r)) for r in ratings)]
        rows = [f'{m},"{t}",{g}' if "," in t else f"{m},{t},{g}" for m, (t, g) in movies.items()]
        names, encoding = ("ratings.csv", "movies.csv"), "utf-8"
        rows = ["movieId,title,genres", *rows]
    elif layout == "ratings.dat":
        lines = ["::".join(map(str, r)) for r in ratings]
        rows = [f"{m}::{t}::{g}" for m, (t, g) in movies.items()]
        names, encoding = ("ratings.dat", "movies.dat"), "latin-1"
    else:
        genres = (
            "unknown Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy "
            "Film-Noir Horror Musical Mystery Romance Sci-Fi Thriller War Western"
        ).split()
        lines = ["\t".join(map(str, r)) for r in ratings]
        rows = [
            "|".join(
                [str(m), t, "01-Jan-1995", "", "http://x"] + [str(int(n in g)) for n in genres]
            )
            for m, (t, g) in movies.items()
        ]
        names, encoding = ("u.data", "u.item"), "latin-1"
    texts = ("\n".join(lines) + "\n", "\n".join(rows) + "\n")
    return {name: text.encode(encoding) for name, text in zip(names, texts, strict=True)}


# The paper's format: three users, twelve items, five candidates each.
PAPER = {
    "toy.train.rating": (
        b"0\t1\t5\t300\n0\t2\t4\t100\n0\t3\t4\t200\n"
        b"1\t4\t1\t50\n1\t5\t1\t50\n"
        b"2\t6\t3\t9\n2\t0\t3\t8\n2\t1\t3\t7\n2\t7\t3\t6\n"
    ),
    "toy.test.rating": b"0\t4\t5\t400\n1\t0\t2\t60\n2\t2\t3\t10\n",
    "toy.test.negative": (b"(0,4)\t5\t6\t7\t8\t9\n(1,0)\t1\t2\t3\t10\t11\n(2,2)\t3\t4\t5\t8\t9\n"),
}
ITEMS = b"item,movie_id,title,genres\n" + b"".join(
    b"%d,%d,Film %d,Drama\n" % (i, 100 - i, i) for i in range(12)
)


def write(folder, files):
    """Write {name: content} into a folder, which is made where there is none; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def zipped(files, inside="ml-test"):
    """Return the bytes of a zip archive of {name: content}, in one folder as GroupLens packs it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{inside}/", b"")
        for name, content in files.items():
            archive.writestr(f"{inside}/{name}", content)
    return out.getvalue()
