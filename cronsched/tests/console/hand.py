"""A hand at mouse and keyboard. It does what people can do, and keeps count of its clicks and of its way."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Download, Locator, Page


@dataclass
class Hand:
    """One person at one page. `known` asks the database, which the thread of the browser must not."""

    page: Page
    known: Callable[[Callable[[], Any]], Any]
    picture: Callable[[Page], None]
    clicks: int = 0
    way: list[str] = field(default_factory=list)

    def find(self, role: Any, name: Any) -> Locator:
        """Return what assistive technology would call so; a text as a whole."""
        return self.page.get_by_role(role, name=name, exact=isinstance(name, str)).first

    def click(self, target: Locator, name: str) -> None:
        target.click()
        self.clicks += 1
        self.way.append(f"**{name}**")

    def press_button(self, name: str) -> None:
        self.click(self.find("button", name), name)

    def follow(self, target: Locator, name: str) -> None:
        """Click on what leads to another page, and wait for that."""
        with self.page.expect_navigation():
            self.click(target, name)

    def follow_link(self, name: str) -> None:
        self.follow(self.find("link", name), name)

    def follow_button(self, name: str) -> None:
        self.follow(self.find("button", name), name)

    def type(self, text: str) -> None:
        """Write where the cursor is; it may take a moment to get there."""
        self.page.wait_for_function("document.activeElement.matches('input, textarea, select')")
        self.page.keyboard.type(text)
        self.way.append(f"type `{text}`")

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)
        self.way.append(key)

    def enter(self) -> None:
        """Press Enter in a form that is sent by it."""
        with self.page.expect_navigation():
            self.press("Enter")

    def write(self, label: str, text: str) -> None:
        """Click into a field, and replace what it holds. Labels of what must be filled in have a star."""
        self.click(self.page.get_by_label(re.compile(rf"^\s*{re.escape(label)}\s*\*?\s*$")).first, label)
        self.page.keyboard.press("Control+a")
        self.type(text)

    def choose(self, select: Locator, name: str, option: str) -> None:
        """Open a list of choices and take one by its first letters, as the keyboard does."""
        self.click(select, name)
        self.type(option)
        self.press("Enter")
        chosen = select.evaluate("select => select.selectedOptions[0].text.trim()")
        assert chosen.lower().startswith(option.lower()), chosen

    def choose_file(self, field: Locator, name: str, file: Path) -> None:
        with self.page.expect_file_chooser() as chooser:
            self.click(field, name)
        chooser.value.set_files(file)
        self.way.append(f"choose `{file.name}`")

    def download(self, button: str) -> Download:
        with self.page.expect_download() as started:
            self.press_button(button)
        return started.value

    def open_tab(self, name: str) -> None:
        self.click(self.page.locator("#tabs-wrapper, #tabs-items").get_by_text(name, exact=True).first, name)

    # --- What several tasks do ---

    def search(self, text: str) -> None:
        """Search the list that is shown."""
        self.press("/")
        self.type(text)
        self.enter()

    def find_by_palette(self, text: str, job: str) -> None:
        """Open the palette from wherever one is, and the page of a job that it finds."""
        self.press("Control+k")
        self.page.wait_for_function("document.activeElement.id === 'search-input-command'")
        self.type(text)
        self.follow(self.page.locator("#command-results-list a").filter(has_text=job).first, job)

    def act_on_all(self, act: str) -> None:
        """Choose an act for all rows that the list shows; what it would do is asked on the next page."""
        self.click(self.page.locator("#action-toggle"), "all rows")
        self.choose(self.page.locator("select[name=action]"), "Select action", act)
        self.follow_button("Run")

    @property
    def text(self) -> str:
        return self.page.locator("#content").inner_text()
