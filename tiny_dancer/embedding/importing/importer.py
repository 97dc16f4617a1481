"""From a model's name to a model folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tiny_dancer.embedding.importing.agreement import require_agreement
from tiny_dancer.embedding.importing.architecture import BertArchitecture, read_architecture
from tiny_dancer.embedding.importing.bert_graph import (
    Precision,
    linear_names,
    write_bert_graph,
)
from tiny_dancer.embedding.importing.folder_replacement import replace_folder
from tiny_dancer.embedding.importing.outlier_channels import (
    channel_divisors,
    largest_linear_inputs,
)
from tiny_dancer.embedding.importing.progress import Progress, Silent
from tiny_dancer.embedding.importing.source import ModelSource
from tiny_dancer.embedding.importing.sources import fetch_model
from tiny_dancer.embedding.importing.staging import make_readable, staging_folder
from tiny_dancer.embedding.importing.tokenizer import write_tokenizer
from tiny_dancer.embedding.importing.weights import Weights, read_weights
from tiny_dancer.embedding.model_folder import (
    LICENCE_FILE,
    Manifest,
    ModelFolder,
    read_model_folder,
    record_files,
    validate_model_name,
    write_manifest,
)
from tiny_dancer.embedding.provider import open_provider


@dataclass(frozen=True)
class ImportedModel:
    """What an import made.

    Attributes:
        folder: the model, in its place.
        cosine: mean cosine to its original on the probe sentences; 1 where it is that itself.
    """

    folder: ModelFolder
    cosine: float


def import_model(
    name_or_path: str,
    models_dir: Path,
    *,
    name: str | None = None,
    precision: Precision = "int8",
    progress: Progress | None = None,
) -> ImportedModel:
    """Fetch a model, convert it and put it among the models, replacing one of its name.

    Args:
        name_or_path: as `tiny_dancer.embedding.importing.sources.fetch_model` takes it.
        models_dir: the folder that holds the models; made if it is not there.
        name: the model's name; by default the last part of ``name_or_path``.
        precision: of the weights.
        progress: hears of the steps.

    Returns:
        The model, checked and in its place.

    Raises:
        InvalidArgumentError: the name is not valid, or the architecture is not supported.
        UnknownObjectError: there is no such model.
        MissingFileError: it could not be fetched, is damaged, or loses too much in int8.
    """
    final_name = validate_model_name(name or Path(name_or_path).name)
    progress = progress or Silent()
    with staging_folder(models_dir, final_name) as staging:
        fetched = staging / "fetched"
        fetched.mkdir()
        source = fetch_model(name_or_path, fetched, progress)
        progress.step("reading the weights")
        architecture = read_architecture(source.path)
        weights = read_weights(source.path)
        conversion = Conversion(source, architecture, weights, final_name)
        model, cosine = conversion.write(staging, precision, progress)
        progress.step("putting it in its place")
        replace_folder(model.path, models_dir / final_name)
    return ImportedModel(read_model_folder(models_dir / final_name, verify="sha256"), cosine)


@dataclass(frozen=True)
class Conversion:
    """A model that was read and can be written in more than one precision."""

    source: ModelSource
    architecture: BertArchitecture
    weights: Weights
    name: str

    def write(
        self, staging: Path, precision: Precision, progress: Progress
    ) -> tuple[ModelFolder, float]:
        """Write the model below a folder; return it and its mean cosine to float32."""
        target = staging / "model" / self.name
        if precision == "fp32":
            progress.step("writing the graph in fp32")
            return self._write_folder(target, "fp32"), 1.0
        progress.step("measuring activations in fp32")
        exact = self._write_folder(staging / "exact" / self.name, "fp32", expose=True)
        largest = largest_linear_inputs(exact, linear_names(self.architecture))
        progress.step(f"writing the graph in {precision}")
        model = self._write_folder(target, precision, divisors=channel_divisors(largest))
        progress.step("comparing it with fp32")
        return model, require_agreement(open_provider(model), open_provider(exact))

    def write_teacher(self, staging: Path) -> ModelFolder:
        """Write the model in float32 for several texts at once (`teacher.OnnxTeacher`)."""
        return self._write_folder(staging / "teacher" / self.name, "fp32", several_texts=True)

    def _write_folder(
        self,
        folder: Path,
        precision: Precision,
        *,
        divisors: Mapping[str, NDArray[np.float32]] | None = None,
        expose: bool = False,
        several_texts: bool = False,
    ) -> ModelFolder:
        folder.mkdir(parents=True)
        write_bert_graph(
            folder,
            self.weights,
            self.architecture,
            precision,
            divisors=divisors,
            expose_linear_inputs=expose,
            several_texts=several_texts,
        )
        write_tokenizer(self.source.path, folder)
        (folder / LICENCE_FILE).write_text(self.source.licence_text(), encoding="utf-8")
        write_manifest(folder, self._manifest(folder, precision))
        make_readable(folder)
        return read_model_folder(folder)

    def _manifest(self, folder: Path, precision: Precision) -> Manifest:
        return Manifest(
            name=self.name,
            provider="onnx",
            precision=precision,
            dimension=self.architecture.hidden,
            max_tokens=self.architecture.max_tokens,
            pooling=self.architecture.pooling,
            normalise=True,
            source=self.source.origin,
            licence=self.source.licence,
            files=record_files(folder),
        )
