"""Images and ground truth on disk, read into one table whatever the layout; folders are written, never changed."""

from iadlib.data.background import black_out, find_object, mask_category
from iadlib.data.build import build_category
from iadlib.data.category import Category
from iadlib.data.errors import DataError
from iadlib.data.images import bit_depth, fit_size, load_images, mixed_orientations, read_image
from iadlib.data.layouts import GOOD_FOLDERS, load_category
from iadlib.data.maps import read_map
from iadlib.data.photographs import find_photographs
from iadlib.data.reference import write_reference
from iadlib.data.regions import DefectType
