"""Spellings of headers, columns that mean nothing, bytes that are no UTF-8."""

import pytest

from jobs.importing.csv_file import read_table


def cells(content, number=0):
    return read_table(content.encode()).rows[number].cells


@pytest.mark.parametrize(
    ("title", "meaning"),
    [
        ("Time Zone", "timezone"),
        ("time-zone", "timezone"),
        ("TIME\u00a0ZONE", "timezone"),
        ('"Time\nZone"', "timezone"),
        ("Job_Name", "name"),
        ("job-name", "name"),
        ("JobName:", "name"),
        ("Cron Schedule", None),
        ("Cron  Schedule (JST)", "cron_expression"),
        ("End\u3000Date", "end_date"),
        ("\uff25nd date", "end_date"),
        ("PIC-Team", "pic_team"),
        ("Request-Body", "metadata"),
        ("GitHub-Owner", "github_owner"),
    ],
)
def test_other_spellings_of_a_header_are_understood(title, meaning):
    row = cells(f"Target URL,{title}\nhttps://host,x\n")
    assert [name for name, text in row.items() if text == "x"] == ([meaning] if meaning else [])


def test_any_number_of_byte_order_marks_is_left_out():
    assert cells("\ufeff\ufeffname,cron\nA,x\n")["name"] == "A"


def test_the_contracts_own_spellings_come_first():
    assert cells("github-owner,owner\nspelled,known\n")["github_owner"] == "known"
    assert cells("github_owner,owner\nlast,second\n")["github_owner"] == "second"


def test_columns_that_mean_nothing_are_named_in_their_order():
    table = read_table(b'TZ,Job Name,,Retry Count,"two\nlines",Time Zone\nx,A,y,3,z,UTC\n')
    assert table.ignored_columns == ["TZ", "Retry Count", "two lines"]
    assert table.rows[0].cells["timezone"] == "UTC"


def test_a_second_column_of_one_meaning_is_not_ignored():
    assert read_table(b"name,Job Name\nA,B\n").ignored_columns == []


def test_undecodable_bytes_are_counted_with_their_rows():
    table = read_table(b"name,cron\nGr\xfc\xdfe,1\nB,2\n\n\xff,3\n")
    assert table.undecodable == {2: 2, 4: 1}
    assert [row.cells["name"] for row in table.rows] == ["Gr\ufffd\ufffde", "B", "\ufffd"]
    assert read_table("name\nGr\u00fc\u00dfe\n".encode()).undecodable == {}
