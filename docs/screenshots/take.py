"""
Take the screenshots of the README from the demo itself: `python docs/screenshots/take.py`.

Desktop and phone, light and dark; the answers are the tiny model's. The form is Alpine's: nothing is launched from it.
"""

from __future__ import annotations

from pathlib import Path
from secrets import token_hex
from urllib.parse import urljoin

from playwright.sync_api import BrowserContext, FilePayload, HttpCredentials, Page, sync_playwright

from portal.chromium import CHROMIUM, FLAGS
from portal.dashboard_server import serve_dashboard
from portal.demo_site import DemoSite
from portal.settings import PortalSettings
from portal.smoke_steps import NEW_FORM, SESSIONS

FOLDER = Path(__file__).parent
REPOSITORY = FOLDER.parents[1]
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
QUESTIONS = ["Say hello.", "Show me markdown.", "Think, then answer."]
KEYS = ["Ada", "the nightly script"]
READY_TIMEOUT_MS = 300_000
# A page that is opened on a phone has its list of chats closed, but for what is searched there.
LIST_AS_OPENED = """isOpen => {
  const isSearch = document.getElementById("chat-search")?.value;
  document.querySelector("#conversations details")?.toggleAttribute("open", isOpen || Boolean(isSearch));
}"""


def main() -> None:
    # A folder of its own name for every machine: its path is in the pictures.
    with DemoSite(Path("/tmp/llm-hoster"), fresh=True) as site, sync_playwright() as playwright:  # noqa: S108
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        take_form(browser.new_page())
        credentials: HttpCredentials = {"username": site.user, "password": site.password}
        context = browser.new_context(http_credentials=credentials, viewport=DESKTOP)  # type: ignore[arg-type]
        launch(context.new_page(), site.url)
        chat = connect(context, site.url)
        take(chat, "start-up")
        chat.locator("#message").wait_for(timeout=READY_TIMEOUT_MS)
        take(chat, "new-chat")
        for question in QUESTIONS:
            chat.locator("#message").fill(question)
            chat.keyboard.press("Enter")
            chat.locator(".message-foot").nth(QUESTIONS.index(question)).wait_for(state="attached")
        take(chat, "chat")
        chat.locator(".reasoning summary").last.click()
        take(chat, "thoughts", shown=".reasoning")
        take_chat_states(chat)
        take_job_states(chat)
        chat.get_by_role("link", name="Connect", exact=True).click()
        chat.locator("#base-url").wait_for()
        take(chat, "connect")
        chat.get_by_role("button", name="Close").click()
        make_keys(chat)
        take(chat, "keys")
        chat.get_by_role("button", name="Close").click()
        chat.get_by_role("link", name="Engine", exact=True).click()
        chat.get_by_text("What happened").click()
        take(chat, "engine")
        browser.close()


def take_chat_states(chat: Page) -> None:
    """What a chat offers beside its messages; the box is empty again at the end."""
    table = "site,depth_m,temperature\n" + "".join(f"A{row},{row * 5},{12.5 - row / 10:.1f}\n" for row in range(40))
    file: FilePayload = {"name": "buoys.csv", "mimeType": "text/csv", "buffer": table.encode()}
    chat.locator("#attach-files").set_input_files(file)
    chat.locator("#attachments .attachment-facts").wait_for()
    chat.locator("#message").fill("Which site is the coldest?")
    take(chat, "attachment")
    chat.locator("#attachments").get_by_role("button").click()
    chat.locator("#message").fill("")
    chat.get_by_role("link", name="Edit").first.click()
    chat.locator("form.edit").wait_for()
    take(chat, "edit", shown="form.edit")
    chat.get_by_role("link", name="Cancel").click()
    panels = {
        "settings": "#settings-link",
        "prompts": "#prompts-link",
        "cluster-files": "text=Files on the cluster",
        "export": "text=Export and import",
    }
    for name, link in panels.items():
        chat.locator(link).first.click()
        take_panel(chat, name)
    chat.locator(".side .more").first.click()
    chat.get_by_role("button", name="Share with people of this session").click()
    chat.locator("#share-link").wait_for()
    with chat.context.expect_page() as opened:
        chat.get_by_role("link", name="See what they see").click()
    opened.value.locator("#messages").wait_for()
    take(opened.value, "shared")
    opened.value.close()
    take_panel(chat, "share")
    chat.keyboard.press("?")
    take_panel(chat, "shortcuts")
    chat.locator("#chat-search").fill("markdown")
    chat.locator("#conversation-list .found").first.wait_for()
    take(chat, "search")
    chat.locator("#chat-search").fill("")


def take_job_states(chat: Page) -> None:
    """Two replies to choose from, the figures of the job, and the page in German; ends in a new chat in English."""
    chat.get_by_role("link", name="New chat").click()
    chat.locator(".welcome").wait_for()
    chat.get_by_label("Two replies to compare").check()
    chat.locator("#message").fill(QUESTIONS[1])
    chat.keyboard.press("Enter")
    chat.locator("#choices .message-foot").nth(1).wait_for(state="attached")
    take(chat, "compare", shown="#choices")
    chat.get_by_role("button", name="Details").click()
    take(chat, "details")
    chat.keyboard.press("Escape")
    chat.get_by_role("button", name="Deutsch").click()
    chat.locator("html[lang=de] #message").wait_for()
    take(chat, "german")
    chat.get_by_role("button", name="English").click()
    chat.locator("html[lang=en] #message").wait_for()


def take_panel(chat: Page, name: str) -> None:
    chat.locator("#panel-title").wait_for()
    take(chat, name)
    chat.get_by_role("button", name="Close").click()


def take_form(page: Page) -> None:
    # The repository's own app is configured for Alpine.
    settings = PortalSettings(REPOSITORY, Path("never-launched"), token_hex(), accounts=("ucb-general",))
    with serve_dashboard(settings) as url:
        page.goto(urljoin(url, NEW_FORM))
        field = "#batch_connect_session_context_"
        page.locator(f"{field}bc_num_hours").fill("4")
        take(page, "form", full_page=True)
        page.locator(f"{field}model").select_option("llama-3.3-70b")
        take(page, "form-does-not-fit", full_page=True)


def launch(page: Page, portal_url: str) -> None:
    page.goto(urljoin(portal_url, NEW_FORM))
    page.get_by_role("button", name="Launch").click()
    page.goto(urljoin(portal_url, SESSIONS))
    page.get_by_role("button", name="Connect").wait_for(timeout=60_000)
    page.screenshot(path=FOLDER / "card.png")


def connect(context: BrowserContext, portal_url: str) -> Page:
    page = context.pages[0]
    with context.expect_page() as opened:
        page.get_by_role("button", name="Connect").click()
    chat = opened.value
    chat.locator("#main").wait_for()
    return chat


def make_keys(chat: Page) -> None:
    """End with the panel anew, where no key is shown."""
    for name in KEYS:
        chat.get_by_role("link", name="Keys", exact=True).click()
        chat.locator("#key-name").fill(name)
        chat.get_by_role("button", name="Make the key").click()
        chat.locator("#new-key").wait_for()
        chat.get_by_role("button", name="Close").click()
    chat.get_by_role("link", name="Keys", exact=True).click()
    chat.locator("#key-name").wait_for()


def take(page: Page, name: str, *, full_page: bool = False, shown: str = "") -> None:
    """`shown` names what must be in sight, by a selector."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        # The chat follows the browser; OnDemand's pages take Bootstrap's theme from this mark.
        page.evaluate("scheme => { document.documentElement.dataset.bsTheme = scheme; }", scheme)
        for place, size in (("desktop", DESKTOP), ("phone", PHONE)):
            page.set_viewport_size(size)  # type: ignore[arg-type]
            page.evaluate(LIST_AS_OPENED, place == "desktop")
            page.wait_for_timeout(150)  # The page follows the new size in its own time.
            if shown:
                page.locator(shown).last.evaluate("place => place.scrollIntoView({ block: 'center' })")
            page.screenshot(path=FOLDER / f"{name}-{place}-{scheme}.png", full_page=full_page)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]
    page.evaluate(LIST_AS_OPENED, True)


if __name__ == "__main__":
    main()
