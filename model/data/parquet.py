"""A data set through `datasets`, its parquet files read in pieces."""

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import load_dataset_builder
from datasets.builder import Key
from datasets.packaged_modules.parquet.parquet import Parquet

PICTURES, BUFFER = 20, 2**20  # rows, bytes


def load(name: str):
    """What `datasets.load_dataset` gives for a Hub id or folder: {part: datasets.Dataset}."""
    builder = load_dataset_builder(name)
    if isinstance(builder, Parquet) and not builder.config.filters:
        builder._generate_tables = lambda *args, **kwargs: _pieces(builder, *args, **kwargs)
    builder.download_and_prepare()
    return builder.as_dataset()


def _pieces(builder: Parquet, files, row_groups_list):
    """Tables of at most PICTURES rows. `datasets` has Arrow's scanner read them, which decodes a
    whole row group first: all the pictures of a file, or 100 MB, several times over."""
    number = 0
    for file, groups in zip(files, row_groups_list):
        with pq.ParquetFile(file, buffer_size=BUFFER, pre_buffer=False) as opened:
            batches = opened.iter_batches(
                PICTURES, groups, builder.config.columns, use_threads=False
            )
            for batch in batches:
                yield Key(0, number), builder._cast_table(pa.Table.from_batches([batch]))
                number += 1
