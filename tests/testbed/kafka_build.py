"""Apache Kafka from Maven Central, once per machine: 54 MB of jars for Java 17 or newer.

In:  Java, Maven and the network the first time; then Java alone. Out: the directory of the jars.
Not here: running it (kafka.py).
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.testbed.builds import cache_of, debian_packages, one_build_at_a_time, run_build

VERSION = "4.4.0"
# 4.4.0 came to Central without the jars kafka-tools and kafka-tools-api, which its pom names: without the exclusion it
# does not resolve. Neither the broker nor what formats its storage needs them.
_POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>testbed</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>
<exclusions><exclusion><groupId>org.apache.kafka</groupId><artifactId>kafka-tools-api</artifactId></exclusion></exclusions>
</dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.5</version>
</dependency></dependencies></project>
"""


def kafka_jars() -> Path:
    """Return the directory of the jars, fetched first if this version is not there. Raises CannotBuildError."""
    _need("java", "default-jre-headless")
    cache = cache_of("kafka") / VERSION
    jars = cache / "lib"  # there when whole
    if not jars.is_dir():
        _need("mvn", "maven")
        with one_build_at_a_time(cache):
            if not jars.is_dir():
                _fetch(cache, jars)
    return jars


def _fetch(cache: Path, jars: Path) -> None:
    partly = cache / "lib.partly"
    shutil.rmtree(partly, ignore_errors=True)
    pom = cache / "lib.xml"
    pom.write_text(_POM)
    copy = ["dependency:copy-dependencies", f"-DoutputDirectory={partly}"]
    run_build(["mvn", "-B", "-q", "-f", str(pom), *copy])
    partly.rename(jars)


def _need(program: str, package: str) -> None:
    if shutil.which(program) is None:
        debian_packages(f"Kafka needs {program} on the PATH", package)
