"""Endpoints of categories and teams (contract, section 13). Both kinds behave alike; only names and words differ."""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from django.utils import timezone
from drf_spectacular.utils import extend_schema_view
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts.authentication import caller
from accounts.permissions import IsAdmin
from cronsched.api import openapi
from cronsched.api.bodies import json_object
from cronsched.api.openapi import Answer, Body, Refusal, operation
from cronsched.api.viewsets import APIViewSet
from cronsched.lib.errors import NotFound
from cronsched.lib.ids import known_id
from cronsched.lib.input import query
from taxonomy import serializers, services
from taxonomy.models import JobCategory, PicTeam, name_key

ORDERINGS = ("name", "created_at")
TAG = "Categories and teams"


class LabelViewSet(APIViewSet):
    """What both kinds do. Reading is for every account, changing for admins."""

    token_scopes = {"list": "read", "create": "write", "update": "write", "destroy": "write"}

    model: ClassVar[type[JobCategory] | type[PicTeam]]
    serializer: ClassVar[type[BaseSerializer[Any]]]
    key: ClassVar[str]
    list_key: ClassVar[str]

    def get_permissions(self) -> Sequence[BasePermission]:
        return [IsAuthenticated() if self.action == "list" else IsAdmin()]

    def list(self, request: Request) -> Response:
        options = query.read(request.query_params, include_inactive=query.Flag(False))
        wanted = name_key(query.search(request.query_params))
        order = query.ordering(request.query_params, ORDERINGS) or "name"
        shows_all = options["include_inactive"] and caller(request).is_admin
        labels: list[Any] = (self.model.objects.all() if shows_all else self.model.objects.active()).by_name()
        if order.endswith("created_at"):
            labels = sorted(labels, key=lambda label: label.created_at)
        if order.startswith("-"):
            labels.reverse()
        found = [label for label in labels if wanted in name_key(label.name) or wanted in label.slug]
        return Response({self.list_key: self.serializer(found, many=True).data})

    def create(self, request: Request) -> Response:
        label = services.create_label(self.model, json_object(request), by=caller(request), now=timezone.now())
        return self._answer("created", label, status=201)

    def update(self, request: Request, label_id: str) -> Response:
        data = json_object(request)
        change = services.change_label(self._label(label_id), data, by=caller(request), now=timezone.now())
        return self._answer("updated", change.label, jobs_updated=change.jobs_updated)

    def destroy(self, request: Request, label_id: str) -> Response:
        label = self._label(label_id)
        services.disable_label(label, by=caller(request), now=timezone.now())
        return self._answer("disabled", label)

    def _label(self, text: str) -> JobCategory | PicTeam:
        label_id = known_id(text)
        label = self.model.objects.filter(id=label_id).first() if label_id else None
        if label is None:
            raise NotFound("Not found", f"No {services.noun(self.model)} found with ID: {text}")
        return label

    def _answer(self, verb: str, label: JobCategory | PicTeam, *, status: int = 200, **more: Any) -> Response:
        message = f"{services.title(self.model)} {verb}"
        return Response({"message": message, self.key: self.serializer(label).data, **more}, status=status)


class Words(NamedTuple):
    """What the descriptions of one kind differ in. `forms` by what they are for, `sent` is the example of a change."""

    plural: str
    noun: str
    single: str
    several: str
    key: str
    list_key: str
    sent: dict[str, Any]
    example: dict[str, Any]
    forms: dict[str, type[BaseSerializer[Any]]]

    @property
    def title(self) -> str:
        return self.noun[0].upper() + self.noun[1:]

    @property
    def unknown(self) -> Refusal:
        return Refusal(404, "Not found", f"No {self.noun} found with ID: 00000000-0000-4000-8000-000000000000")

    @property
    def refused_names(self) -> list[Refusal]:
        return [
            Refusal(400, "Invalid payload", '"name" must be a string.'),
            Refusal(400, "Invalid slug", "Unable to generate a valid slug from name."),
            Refusal(400, "Invalid name", "Name must be at most 255 characters."),
        ]

    @property
    def taken(self) -> Refusal:
        return Refusal(409, "Duplicate slug", f'{self.title} slug "{self.example["slug"]}" already exists.')


def _described(words: Words) -> Any:
    """Return the decorator that describes the endpoints of one kind."""
    return extend_schema_view(
        list=_listing(words), create=_creation(words), update=_change(words), destroy=_disabling(words)
    )


def _listing(words: Words) -> Any:
    return operation(
        f"list_{words.several}",
        tag=TAG,
        summary=f"List {words.plural}",
        description="By name, ignoring case. Disabled ones only for admins who ask for them.",
        query=[
            openapi.flag("include_inactive", text="Also disabled ones; ignored unless the caller is an admin."),
            openapi.SEARCH,
            openapi.ordering(*ORDERINGS),
        ],
        answers={200: Answer(words.forms["list"], {words.list_key: [words.example]})},
        refusals=[openapi.bad_boolean("include_inactive"), openapi.BAD_SEARCH, openapi.bad_ordering(*ORDERINGS)],
    )


def _creation(words: Words) -> Any:
    links = openapi.leads_to(f"update_{words.single}", f"disable_{words.single}", label_id=f"{words.key}/id")
    made = {"message": f"{words.title} created", words.key: words.example}
    return operation(
        f"create_{words.single}",
        tag=TAG,
        summary=f"Create a {words.noun}",
        access=openapi.ADMIN,
        body=Body(words.forms["new"], {"Usual": words.sent}),
        answers={201: Answer(words.forms["answer"], made, "Created.", leads_to=links)},
        refusals=[
            Refusal(400, "Missing required fields", '"name" is required.'),
            *words.refused_names,
            Refusal(400, "Invalid slug", "Slug must be at most 100 characters."),
            words.taken,
        ],
    )


def _change(words: Words) -> Any:
    changed = {"message": f"{words.title} updated", words.key: words.example, "jobs_updated": 3}
    return operation(
        f"update_{words.single}",
        tag=TAG,
        summary=f"Update a {words.noun}",
        description="Only the keys sent count. Sending the name derives the slug anew; jobs follow by themselves.",
        access=openapi.ADMIN,
        path=[openapi.path_id("label_id", words.noun)],
        body=Body(words.forms["changed"], {"Rename": words.sent, "Disable": {"is_active": False}}),
        answers={200: Answer(words.forms["change"], changed)},
        refusals=[
            Refusal(400, "Invalid name", "Name cannot be empty."),
            *words.refused_names,
            Refusal(400, "Invalid payload", "Slug cannot be edited directly; it is derived from name."),
            words.unknown,
            words.taken,
        ],
    )


def _disabling(words: Words) -> Any:
    disabled = {"message": f"{words.title} disabled", words.key: {**words.example, "is_active": False}}
    return operation(
        f"disable_{words.single}",
        tag=TAG,
        summary=f"Disable a {words.noun}",
        description="Takes it out of the choices; jobs that have it keep it. Doing it again changes nothing.",
        access=openapi.ADMIN,
        path=[openapi.path_id("label_id", words.noun)],
        answers={200: Answer(words.forms["answer"], disabled)},
        refusals=[words.unknown],
    )


@_described(
    Words(
        plural="categories",
        noun="category",
        single="job_category",
        several="job_categories",
        key="category",
        list_key="categories",
        sent={"name": "Maintenance"},
        example={
            "id": "6f0f4c3e-6f3c-4a53-9a55-0c5d3b6a2f10",
            "slug": "maintenance",
            "name": "Maintenance",
            "is_active": True,
            "created_at": "2026-01-15T10:30:00.000Z",
            "updated_at": "2026-01-15T10:30:00.000Z",
        },
        forms={
            "list": serializers.CategoryListSerializer,
            "new": serializers.NewCategorySerializer,
            "answer": serializers.CategoryAnswerSerializer,
            "changed": serializers.ChangedCategorySerializer,
            "change": serializers.CategoryChangeSerializer,
        },
    )
)
class CategoryViewSet(LabelViewSet):
    model = JobCategory
    serializer = serializers.CategorySerializer
    key = "category"
    list_key = "categories"


@_described(
    Words(
        plural="PIC teams",
        noun="PIC team",
        single="pic_team",
        several="pic_teams",
        key="pic_team",
        list_key="pic_teams",
        sent={"name": "DevOps", "slack_handle": "@devops"},
        example={
            "id": "2b0d3c1a-0f52-4a0e-8f0c-7f6f0e1d9c11",
            "slug": "devops",
            "name": "DevOps",
            "slack_handle": "@devops",
            "is_active": True,
            "created_at": "2026-01-15T10:30:00.000Z",
            "updated_at": "2026-01-15T10:30:00.000Z",
        },
        forms={
            "list": serializers.TeamListSerializer,
            "new": serializers.NewTeamSerializer,
            "answer": serializers.TeamAnswerSerializer,
            "changed": serializers.ChangedTeamSerializer,
            "change": serializers.TeamChangeSerializer,
        },
    )
)
class TeamViewSet(LabelViewSet):
    model = PicTeam
    serializer = serializers.TeamSerializer
    key = "pic_team"
    list_key = "pic_teams"
