"""The page's files: what the server sends is typed in the page, and every script is in the wheel and in exports."""

from __future__ import annotations

import re

import pytest
from pydantic import BaseModel

from attnscope.viewer import page, schemas

MODELS = [
    model
    for model in vars(schemas).values()
    if isinstance(model, type) and issubclass(model, BaseModel) and model is not BaseModel
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_the_page_has_a_type_of_the_same_fields(model):
    types = page.static_files()["types.d.ts"].decode()
    body = re.search(rf"^export interface {model.__name__} {{\n(.*?)^}}", types, re.M | re.S)[1]
    assert re.findall(r"^  (\w+): ", body, re.M) == list(model.model_fields)


def test_every_name_that_a_script_imports_is_in_the_import_map():
    names = set(page._modules())
    for file in page.static_files():
        if file.endswith(".js") and not file.startswith("vendor/"):
            imported = re.findall(
                r"^(?:import|\} from) .*?\"(.+)\";$", page.static_files()[file].decode(), re.M
            )
            assert set(imported) <= names, file


def test_types_are_not_served(client):
    assert client.get("/static/types.d.ts").status_code == 404
