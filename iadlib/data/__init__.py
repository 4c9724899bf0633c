"""Images and ground truth on disk, read into one table whatever the layout; new folders of them, never changed ones."""

from iadlib.data.background import black_out, find_object, mask_category
from iadlib.data.build import build_category
from iadlib.data.build_report import BuildReport
from iadlib.data.category import Category
from iadlib.data.errors import DataError
from iadlib.data.images import fit_size, image_sizes, load_images, read_image
from iadlib.data.layouts import load_category
from iadlib.data.regions import DefectType

__all__ = [
    "BuildReport",
    "Category",
    "DataError",
    "DefectType",
    "black_out",
    "build_category",
    "find_object",
    "fit_size",
    "image_sizes",
    "load_category",
    "load_images",
    "mask_category",
    "read_image",
]
