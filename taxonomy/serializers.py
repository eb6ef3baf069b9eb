"""Categories and teams as JSON."""

from typing import Any

from rest_framework import serializers

from cronsched.api.fields import UtcField
from taxonomy.models import JobCategory, PicTeam

LABEL_FIELDS = ["id", "slug", "name", "is_active", "created_at", "updated_at"]


class CategorySerializer(serializers.ModelSerializer[JobCategory]):
    created_at = UtcField(read_only=True)
    updated_at = UtcField(read_only=True)

    class Meta:
        model = JobCategory
        fields = LABEL_FIELDS
        read_only_fields = LABEL_FIELDS


class TeamSerializer(serializers.ModelSerializer[PicTeam]):
    created_at = UtcField(read_only=True)
    updated_at = UtcField(read_only=True)

    class Meta:
        model = PicTeam
        fields = [*LABEL_FIELDS, "slack_handle"]
        read_only_fields = fields


# --- Forms of requests and answers, for the description only: `taxonomy.services` reads what is sent ------------------


class NewCategorySerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=255)
    slug = serializers.CharField(required=False, allow_null=True, allow_blank=True, help_text="Default: from the name.")


class NewTeamSerializer(NewCategorySerializer):
    slack_handle = serializers.CharField(max_length=255, help_text="What Slack alerts mention, such as `@ops`.")


class ChangedCategorySerializer(serializers.Serializer[Any]):
    name = serializers.CharField(required=False, max_length=255, help_text="The slug follows the name.")
    is_active = serializers.BooleanField(required=False)


class ChangedTeamSerializer(ChangedCategorySerializer):
    slack_handle = serializers.CharField(required=False, max_length=255)


class CategoryListSerializer(serializers.Serializer[Any]):
    categories = CategorySerializer(many=True)


class CategoryAnswerSerializer(serializers.Serializer[Any]):
    message = serializers.CharField()
    category = CategorySerializer()


class CategoryChangeSerializer(CategoryAnswerSerializer):
    jobs_updated = serializers.IntegerField(help_text="Jobs that now answer with the new slug.")


class TeamListSerializer(serializers.Serializer[Any]):
    pic_teams = TeamSerializer(many=True)


class TeamAnswerSerializer(serializers.Serializer[Any]):
    message = serializers.CharField()
    pic_team = TeamSerializer()


class TeamChangeSerializer(TeamAnswerSerializer):
    jobs_updated = serializers.IntegerField(help_text="Jobs that now answer with the new slug.")
