"""Images and ground truth on disk, read into one table whatever the layout. This package reads and never writes."""

from iadlib.data.category import Category
from iadlib.data.errors import DataError
from iadlib.data.images import fit_size, image_sizes, load_images, read_image
from iadlib.data.layouts import load_category
from iadlib.data.regions import DefectType

__all__ = [
    "Category",
    "DataError",
    "DefectType",
    "fit_size",
    "image_sizes",
    "load_category",
    "load_images",
    "read_image",
]
