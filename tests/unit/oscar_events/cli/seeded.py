"""Mistakes that people make in service files, one at a time, each made in a file that is right.

In:  nothing. Out: `VALID`, and `SEEDED`: what is replaced in it by what, and what the message must say.
Not here: reading the file, applying the printed fix (test_errors_that_teach.py).
"""

from __future__ import annotations

from dataclasses import dataclass

VALID = """\
# blur.yaml: blurs what arrives
functions:
  oscar:
    - laptop:
        name: blur
        image: ghcr.io/grycap/imagemagick   # any will do
        script: blur.sh
        memory: 512Mi
        cpu: "0.5"
        log_level: DEBUG
        input:
          - storage_provider: minio.default
            path: pics/in
            suffix: [.png, .jpg]
        output:
          - storage_provider: minio.default
            path: pics/out
        environment:
          variables:
            RADIUS: "4"
            PIN: 0755
          secrets:
            DB_PASSWORD: canary-password
        storage_providers:
          s3:
            archive: {access_key: canary-access, secret_key: canary-secret, region: eu-west-1}
        dispatch:
          timeout: 10m
          concurrency: 2
          retry: {max_attempts: 3, backoff: 10s, max_age: 1d}
"""
SCRIPTS = {"blur.sh": "convert a b\n", "sharpen.sh": "convert -sharpen a b\n"}


@dataclass(frozen=True, slots=True)
class Seeded:
    """Replace old, which is in the file once, by new. field, line: where the message must say it is. told: in it."""

    name: str
    old: str
    new: str
    line: int
    field: str
    told: tuple[str, ...]
    text: str = VALID

    @property
    def broken(self) -> str:
        assert self.text.count(self.old) == 1, f"{self.old!r} is not once in the file"
        return self.text.replace(self.old, self.new)


_HEAD = """\
    - laptop:
        name: blur
        image: ghcr.io/grycap/imagemagick   # any will do
        script: blur.sh
        memory: 512Mi
        cpu: "0.5"
        log_level: DEBUG
"""
_ENVIRONMENT = """\
          variables:
            RADIUS: "4"
            PIN: 0755
          secrets:
            DB_PASSWORD: canary-password
"""
_PROVIDER_AND_PATH = "storage_provider: minio.default\n            path: pics/in"
_INPUT_AND_OUTPUT = f"""\
          - {_PROVIDER_AND_PATH}
            suffix: [.png, .jpg]
        output:
          - storage_provider: minio.default
"""
_MERGED = """\
          - &in
            storage_provider: minio.default
            path: pics/in
        output:
          - <<: *in
            prefix: [x]
        # below: one more
"""
_RETRY = "          retry: {max_attempts: 3, backoff: 10s, max_age: 1d}\n"
_IMAGE = "        image: ghcr.io/grycap/imagemagick   # any will do\n"
_P = "functions.oscar[0].laptop"
_INPUT = f"{_P}.input[0]"
_SMALL = """\
functions:
  oscar:
    - laptop:
        name: blur
        image: busybox
        script: blur.sh
"""
_FLAT = """{
\t"name": "blur",
\t"image": "busybox",
\t"script": "cp a b",
\t"input": [{"storage_provider": "minio.default", "path": "pics/in"}]
}
"""

SEEDED = (
    # values
    Seeded(
        "memory in MB",
        "memory: 512Mi",
        "memory: 512MB",
        8,
        f"{_P}.memory",
        ("512MB", "256Mi", "+ 8:         memory: 512M"),
    ),
    Seeded("a gigabyte in lower case", "512Mi", "1gb", 8, f"{_P}.memory", ("1gb",)),
    Seeded("cpu with a comma", '"0.5"', '"0,5"', 9, f"{_P}.cpu", ("0,5",)),
    Seeded("a name in capitals", "name: blur", "name: Blur Images", 5, f"{_P}.name", ("Blur Images", "blur-images")),
    Seeded("a name too long", "name: blur", f"name: {'blur-' * 9}", 5, f"{_P}.name", ("39",)),
    Seeded("text that is a number", "log_level: DEBUG", "vo: 2024", 10, f"{_P}.vo", ("2024", '"2024"')),
    Seeded("a duration in words", "timeout: 10m", "timeout: 10 minutes", 28, f"{_P}.dispatch.timeout", ("10 minutes",)),
    Seeded("no room at all", "concurrency: 2", "concurrency: 0", 29, f"{_P}.dispatch.concurrency", ("a whole number",)),
    Seeded("a bucket in capitals", "path: pics/in", "path: Pics/in", 13, f"{_INPUT}.path", ("Pics",)),
    Seeded("a backend misspelt", "timeout: 10m", "backend: kubernets", 28, f"{_P}.dispatch.backend", ("kubernetes",)),
    Seeded(
        "an event type misspelt",
        "timeout: 10m",
        "event_types: [create]",
        28,
        f"{_P}.dispatch.event_types[0]",
        ("created",),
    ),
    # keys
    Seeded(
        "image misspelt",
        "image: ghcr",
        "imgae: ghcr",
        6,
        f"{_P}.imgae",
        ("no image", "+ 6:         image: ghcr.io/grycap/imagemagick   # any will do"),
    ),
    Seeded("script misspelt", "script: blur", "scrpt: blur", 7, f"{_P}.scrpt", ("script",)),
    Seeded("no image", _IMAGE, "", 4, f"{_P}.image", ("no image",)),
    Seeded("no name", "        name: blur\n", "", 4, f"{_P}.name", ("no name", "+ 6:         name: blur")),
    Seeded("no script", "        script: blur.sh\n", "", 4, f"{_P}.script", ("no script", "script: blur.sh")),
    Seeded("no path", "            path: pics/in\n", "", 12, f"{_INPUT}.path", ("no path",)),
    Seeded(
        "no provider",
        "          - storage_provider: minio.default\n            path: pics/in",
        "          - path: pics/in",
        12,
        f"{_INPUT}.storage_provider",
        ("no storage_provider",),
    ),
    Seeded("a limit misspelt", "concurrency: 2", "concurency: 2", 29, f"{_P}.dispatch.concurency", ("concurrency",)),
    Seeded(
        "a key misspelt in flow style",
        "max_attempts: 3",
        "max_attempt: 3",
        30,
        f"{_P}.dispatch.retry.max_attempt",
        ("max_attempts",),
    ),
    Seeded("a key that belongs to nobody", "timeout: 10m", "zzz: 10m", 28, f"{_P}.dispatch.zzz", ("zzz", "timeout")),
    Seeded("a key twice", 'cpu: "0.5"', "memory: 512Mi", 9, f"{_P}.memory", ("second", "line 8")),
    Seeded("functions misspelt", "functions:", "function:", 2, "function", ("functions",)),
    Seeded("oscar misspelt", "  oscar:", "  osacr:", 3, "functions.osacr", ("oscar",)),
    # structure
    Seeded(
        "a service beside its cluster",
        _HEAD,
        "    - laptop:\n      name: blur\n      image: busybox\n      script: blur.sh\n",
        4,
        "functions.oscar[0]",
        ("laptop",),
        VALID.split("        input:")[0],
    ),
    Seeded(
        "services without clusters",
        _HEAD,
        "    - name: blur\n      image: busybox\n      script: blur.sh\n",
        4,
        "functions.oscar[0]",
        ("cluster_id",),
        VALID.split("        input:")[0],
    ),
    Seeded("no list of clusters", "    - laptop:", "      laptop:", 2, "functions.oscar", ("a list",), _SMALL),
    Seeded(
        "two clusters in one entry",
        _RETRY,
        "      cluster:\n        name: sharpen\n        image: busybox\n        script: sharpen.sh\n",
        3,
        "functions.oscar",
        ("laptop, cluster",),
    ),
    Seeded(
        "a list below functions",
        "  oscar:\n    - laptop:",
        "    - laptop:",
        1,
        "functions",
        ("a list", "oscar"),
        _SMALL,
    ),
    Seeded("oscar at the top", "functions:\n  oscar:", "  oscar:", 1, "", ("functions",), _SMALL),
    Seeded(
        "one name twice",
        _RETRY,
        "    - cluster:\n        name: blur\n        image: busybox\n        script: sharpen.sh\n",
        31,
        "functions.oscar[1].cluster.name",
        ("also the name of functions.oscar[0].laptop",),
    ),
    Seeded(
        "one input without its dash",
        "          - storage_provider: minio.default\n            path: pics/in\n            suffix",
        "            storage_provider: minio.default\n            path: pics/in\n            suffix",
        11,
        f"{_P}.input",
        ("a list",),
    ),
    Seeded(
        "a list of variables",
        _ENVIRONMENT,
        "          variables:\n          - RADIUS=4\n          - MODE=fast\n",
        19,
        f"{_P}.environment.variables",
        ("a list", 'RADIUS: "4"'),
    ),
    Seeded(
        "variables as Kubernetes has them",
        _ENVIRONMENT,
        "          variables:\n          - name: RADIUS\n            value: 4\n",
        19,
        f"{_P}.environment.variables",
        ("a mapping",),
    ),
    Seeded(
        "a list where one image is wanted",
        "image: ghcr.io/grycap/imagemagick ",
        "image: [busybox] ",
        6,
        f"{_P}.image",
        ("a list", "text"),
    ),
    Seeded(
        "a number where settings are wanted",
        "retry: {max_attempts: 3, backoff: 10s, max_age: 1d}",
        "retry: [{max_attempts: 3}]",
        30,
        f"{_P}.dispatch.retry",
        ("a mapping",),
    ),
    # files
    Seeded(
        "a script that is not there", "script: blur.sh", "script: blurr.sh", 7, f"{_P}.script", ("blurr.sh", "blur.sh")
    ),
    # YAML
    Seeded("a tab", "        memory: 512Mi", "\tmemory: 512Mi", 8, _P, ("tab",)),
    Seeded("a tab behind the colon", "memory: 512Mi", "memory:\t512Mi", 8, f"{_P}.memory", ("tab",)),
    Seeded("an indentation too deep", "        memory: 512Mi", "          memory: 512Mi", 8, _P, ("indentation",)),
    Seeded(
        "an indentation too low",
        "        memory: 512Mi",
        "       memory: 512Mi",
        8,
        "functions.oscar[0]",
        ("indentation",),
    ),
    Seeded("an open bracket", "[.png, .jpg]", "[.png, .jpg", 14, f"{_INPUT}.suffix", ("[",)),
    Seeded("an open brace", "max_age: 1d}", "max_age: 1d", 30, f"{_P}.dispatch.retry", ("{",)),
    Seeded("an open quote", '"4"', '"4', 20, f"{_P}.environment.variables.RADIUS", ("quote",)),
    Seeded("no space behind a colon", "memory: 512Mi", "memory:512Mi", 8, _P, ("colon",)),
    Seeded("no colon", "        input:\n", "        input\n", 11, _P, ("colon",)),
    Seeded("an equals sign", "memory: 512Mi", "memory = 512Mi", 8, _P, ("colon",)),
    Seeded("a colon in text", "log_level: DEBUG", "vo: group: one", 10, _P, ("second",)),
    Seeded("bare patterns", "[.png, .jpg]", "[*.png, *.jpg]", 14, f"{_INPUT}.suffix[0]", ("quotes",)),
    Seeded(
        "a bare template",
        "image: ghcr.io/grycap/imagemagick ",
        "vo: {{ group }}\n        image: busybox ",
        6,
        f"{_P}.vo",
        ("quotes",),
    ),
    Seeded("an at sign", "log_level: DEBUG", "vo: @home", 10, f"{_P}.vo", ("quotes",)),
    Seeded("a backslash", "log_level: DEBUG", 'vo: "\\d+"', 10, f"{_P}.vo", ("backslash",)),
    Seeded("a quote in a quote", "log_level: DEBUG", "vo: 'it's'", 10, _P, ("behind the end", '"it\'s"')),
    Seeded("a tag", "log_level: DEBUG", "vo: !!str 0755", 10, f"{_P}.vo", ("tag",)),
    Seeded("an anchor", "memory: 512Mi", "memory: &m 512Mi\n        total_memory: *m", 8, f"{_P}.memory", ("anchor",)),
    Seeded(
        "a merge key",
        _INPUT_AND_OUTPUT,
        _MERGED,
        12,
        f"{_INPUT}",
        ("anchor",),
        VALID.replace("            path: pics/out\n", ""),
    ),
    Seeded("two documents", "        log_level: DEBUG\n", "---\n", 10, "", ("second document",)),
    Seeded("a bracket too many", "[.png, .jpg]", "[.png, .jpg]]", 14, _INPUT, ("too many",)),
    # JSON
    Seeded("a comma missing", '"busybox",', '"busybox"', 3, "", ("no comma behind", "- 3:"), _FLAT),
    Seeded("a number as JSON", '"pics/in"', "5", 5, "input[0].path", ("text", '"5"'), _FLAT),
)

# No concrete text can be known here; the sentence says what to do.
UNFIXABLE = (
    Seeded("a control character", "log_level: DEBUG", "log_level: DE\x07BUG", 10, "", ("U+0007",)),
    Seeded("a file of numbers", VALID, "5\n", 1, "", ("a service",)),
    Seeded("an empty file", VALID, "# nothing\n", 1, "", ("an empty file",)),
    Seeded("nothing below oscar", "    - laptop:", "    - laptop: 5\n    - x:", 4, f"{_P}", ("a mapping with name",)),
    Seeded(
        "commands for a script",
        "script: blur.sh",
        "script: |\n          convert a b\n          convert c d",
        7,
        f"{_P}.script",
        ("commands",),
    ),
    Seeded("half a character", "log_level: DEBUG", 'vo: "\\ud800"', 10, f"{_P}.vo", ("surrogate",)),
    Seeded(
        "a secret that is a list",
        "DB_PASSWORD: canary-password",
        "DB_PASSWORD: [canary-password]",
        23,
        f"{_P}.environment.secrets.DB_PASSWORD",
        ("text",),
    ),
    Seeded(
        "an open quote around a secret",
        "DB_PASSWORD: canary-password",
        "DB_PASSWORD: 'canary-password",
        23,
        f"{_P}.environment.secrets.DB_PASSWORD",
        ("quote",),
    ),
)
