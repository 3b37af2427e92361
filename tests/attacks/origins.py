"""Which attack of which origin is tried by which test: the table of contents of the attack suite.

The numbers are those of the security checklist; origins are published faults of our peers and of
the libraries we stand on.  `test_origins.py` holds the table to the tests.
"""

from typing import NamedTuple

TOKENS = "domain/tokens/test_verification.py"
RING = "domain/keyring/test_ring.py"
REFRESH = "flows/sessions/test_refresh.py"
RACES = "flows/sessions/test_races.py"
LOCKOUT = "flows/shared/test_password_attempts.py"
PASSWORDS = "kernel/test_passwords.py"
LIMITS = "http/test_limits.py"
OAUTH = "http/oauth/test_token.py"
PEOPLE = "http/admin/test_people.py"
KEYS = "http/api_keys/test_checks.py"
WIRE = "conformance/test_oauth.py"
ASSERTIONS = "attacks/test_assertions.py"
AT_THE_DOOR = "attacks/test_tokens_at_the_door.py"

NO_CODES = "there is no authorization endpoint: no code, no PKCE, no redirect is ever made"


class Attack(NamedTuple):
    """What somebody once got away with elsewhere, and who tries it here (or why nobody can)."""

    origin: str
    must: str
    tests: tuple[str, ...] = ()
    not_here: str = ""


ATTACKS: dict[str, Attack] = {
    "A01": Attack(
        "PyJWT CVE-2022-29217, Authlib CVE-2024-37568",
        "an HMAC under our public key is no signature",
        (
            f"{TOKENS}::test_a01_an_hmac_under_our_public_key_is_no_signature",
            f"{TOKENS}::test_a01_no_other_algorithm_is_argued_into_us",
            f"{TOKENS}::test_a01_one_key_s_header_does_not_carry_another_key_s_signature",
            f"{ASSERTIONS}::test_a01_an_hmac_under_the_client_s_public_key_is_no_signature",
            f"{ASSERTIONS}::test_a01_no_other_algorithm_is_argued_into_us",
        ),
    ),
    "A02": Attack(
        "Authlib CVE-2026-27962",
        "a key the token brings along is not used",
        (
            f"{TOKENS}::test_a02_a_key_that_the_token_brings_along_is_not_used",
            f"{ASSERTIONS}::test_a02_a_key_that_the_assertion_brings_along_is_not_used",
        ),
    ),
    "A03": Attack(
        "RFC 8725 section 3.10",
        "nothing a token points at is fetched",
        (
            f"{TOKENS}::test_a03_nothing_the_token_points_at_is_fetched",
            f"{ASSERTIONS}::test_a03_nothing_the_assertion_points_at_is_fetched",
        ),
    ),
    "A04": Attack(
        "Authlib CVE-2025-59420, PyJWT CVE-2026-32597",
        "critical headers are refused",
        (
            f"{TOKENS}::test_a04_a_header_with_more_than_we_write_is_refused",
            f"{ASSERTIONS}::test_a04_critical_headers_are_refused",
        ),
    ),
    "A05": Attack(
        "RFC 8725 section 3.10",
        "a kid names one of our keys or nothing",
        (
            f"{TOKENS}::test_a05_a_kid_names_one_of_our_keys_or_nothing",
            f"{TOKENS}::test_a05_a_header_without_a_kid_is_refused",
            f"{TOKENS}::test_a05_a_header_that_only_means_the_same_is_refused",
            f"{ASSERTIONS}::test_a05_a_kid_names_one_of_the_client_s_keys_or_nothing",
        ),
    ),
    "A06": Attack(
        "joserfc CVE-2025-65015",
        "a huge token is refused at once and stands in no log",
        (
            f"{TOKENS}::test_a06_a_huge_token_is_refused_at_once",
            f"{AT_THE_DOOR}::test_a06_a_huge_token_is_refused_and_stands_in_no_line",
            "kernel/test_log.py::test_a_line_is_bounded_whatever_it_carries",
        ),
    ),
    "A07": Attack(
        "Authlib CVE-2025-62706, joserfc CVE-2026-27932",
        "what is not three parts of ours is refused unopened",
        (
            f"{TOKENS}::test_a07_what_is_not_three_parts_of_ours_is_refused",
            f"{ASSERTIONS}::test_a07_what_has_no_header_is_refused",
            f"{ASSERTIONS}::test_a07_what_is_not_three_parts_is_refused",
        ),
    ),
    "A08": Attack(
        "PyJWT CVE-2024-53861",
        "issuer and audience are one string to the letter",
        (
            f"{TOKENS}::test_a08_issuer_and_audience_are_one_string_to_the_letter",
            f"{ASSERTIONS}::test_a08_whom_it_is_of_and_for_is_one_string_to_the_letter",
        ),
    ),
    "A09": Attack(
        "RFC 8725 section 3.12",
        "each kind of token is good at its own door alone",
        (
            f"{TOKENS}::test_a09_a_token_of_another_type_is_no_access_token",
            "attacks/test_misplaced_tokens.py"
            "::test_each_kind_is_refused_at_the_doors_of_the_others",
            "attacks/test_misplaced_tokens.py::test_a_refresh_token_makes_no_device_known",
            "flows/upkeep/test_sealing.py::test_a_checkpoint_is_never_an_access_token",
        ),
    ),
    "A10": Attack(
        "ECDSA malleability, reproduced",
        "the other form of a signature dies with its token",
        (
            f"{TOKENS}::test_a10_the_other_form_of_a_signature_names_the_same_jti_and_dies_with_it",
            f"{AT_THE_DOOR}::test_a10_the_other_form_of_a_signature_dies_with_its_token",
            f"{TOKENS}::test_a10_numbers_off_the_curve_s_order_are_no_signature",
            f"{TOKENS}::test_a10_a_signature_in_der_is_refused",
        ),
    ),
    "A11": Attack(
        "FAPI 2.0 modules",
        "times are whole numbers with ten seconds of leeway; the host's clock decides nothing",
        (
            f"{TOKENS}::test_a11_expiry_has_ten_seconds_of_leeway",
            f"{TOKENS}::test_a11_issue_in_the_future_has_ten_seconds_of_leeway",
            f"{TOKENS}::test_a11_a_time_is_a_whole_number_and_nothing_like_it",
            "kernel/test_clock.py::test_a_stepped_host_clock_changes_nothing_and_is_seen",
        ),
    ),
    "A12": Attack(
        "joserfc before 1.7.0",
        "the published set is public",
        (
            f"{RING}::test_a_jwk_holds_public_members_and_its_thumbprint_alone",
            f"{RING}::test_what_is_published_is_public_and_every_kid_is_there_once",
        ),
    ),
    "A13": Attack(
        "verifiers that cache keys",
        "a key is published before it signs and after; a killed one is dead in a second",
        (
            "system/test_signing_keys.py"
            "::test_no_valid_token_is_refused_anywhere_while_a_key_goes_through_its_four_states",
            "system/test_signing_keys.py"
            "::test_a_killed_key_is_dead_everywhere_within_a_second_and_sessions_go_on",
            "conformance/test_metadata.py::test_the_jwks_is_revalidated_by_its_etag",
            "http/test_every_answer.py"
            "::test_the_keys_are_for_every_page_and_never_with_credentials",
        ),
    ),
    "A14": Attack(
        "Keycloak CVE-2026-1035, better-auth GHSA-392p-2q2v-4372",
        "32 parallel refreshes yield one successor",
        (
            f"{REFRESH}::test_thirty_two_at_once_are_given_one_successor",
            "system/test_rotation.py"
            "::test_thirty_two_parallel_refreshes_of_one_token_yield_one_successor",
        ),
    ),
    "A15": Attack(
        "OpenRisk #725 and #775",
        "a replay that races a refresh leaves nothing alive",
        (f"{RACES}::test_a_refresh_that_races_a_replay_leaves_nothing_alive",),
    ),
    "A16": Attack(
        "reproduced: 233 of 300",
        "a sign-out or a new password that races a refresh leaves nothing alive",
        (
            f"{RACES}::test_a_refresh_that_races_a_sign_out_leaves_nothing_alive",
            f"{RACES}::test_what_races_a_change_of_password_leaves_the_changing_session_alone_alive",
            "system/test_rotation.py::test_a_refresh_that_races_a_sign_out_leaves_nothing_alive",
        ),
    ),
    "A17": Attack(
        "gombit #127",
        "two tabs that refresh at once both stay in",
        (
            f"{REFRESH}::test_a_retry_within_the_grace_is_given_the_same_successor",
            "system/test_rotation.py::test_a_lost_answer_retried_within_the_grace_continues",
        ),
    ),
    "A18": Attack("supabase bdbf01eb", "a code is redeemed once", not_here=NO_CODES),
    "A19": Attack("better-auth 508d8d6f06", "a replayed code kills its tokens", not_here=NO_CODES),
    "A20": Attack(
        "OAuth 2.1 section 4.1.3",
        "a code replayed with a wrong verifier kills nothing",
        not_here=NO_CODES,
    ),
    "A21": Attack("authentik CVE-2023-48228", "PKCE cannot be left out", not_here=NO_CODES),
    "A22": Attack(
        "ZITADEL CVE-2026-55672",
        "a refresh token of one client is nothing to another",
        (f"{OAUTH}::test_the_console_refreshes_by_form_and_no_other_client_may",),
    ),
    "A23": Attack(
        "ZITADEL CVE-2026-27840",
        "a token cut or made longer is no token",
        (
            "domain/families/test_token.py::test_one_other_letter_anywhere_makes_it_unknown",
            "domain/families/test_token.py::test_what_is_not_byte_for_byte_ours_is_unknown",
            "domain/apikeys/test_text.py::test_truncated_anywhere_is_no_key",
            "attacks/test_api_keys.py::test_every_key_that_is_not_good_gets_one_answer",
        ),
    ),
    "A24": Attack(
        "supabase 87480005",
        "no side path brings back what was ended",
        (
            f"{RACES}"
            "::test_a_switch_of_organization_that_races_a_sign_out_leaves_at_most_the_new_session",
            f"{RACES}::test_a_refresh_that_races_the_disabling_of_its_person_yields_no_further_one",
        ),
    ),
    "A25": Attack(
        "Keycloak CVE-2025-12390",
        "the next one at a shared browser gets nothing of the one before",
        (
            "attacks/test_shared_browser.py"
            "::test_whoever_signs_in_after_another_gets_nothing_of_theirs",
            "attacks/test_shared_browser.py::test_a_session_has_an_id_that_nobody_chose_before",
        ),
    ),
    "A26": Attack(
        "ory/fosite CVE-2020-15223",
        "a revocation that could not be written is not acknowledged",
        (
            "http/oauth/test_introspection_and_revocation.py"
            "::test_with_postgresql_failing_a_revoke_is_never_acknowledged",
            "attacks/test_unwritten_revocations.py"
            "::test_an_end_that_cannot_be_written_is_not_acknowledged_and_ends_nothing",
        ),
    ),
    "A27": Attack(
        "fosite CVE-2020-15234, Keycloak CVE-2024-8883",
        "nobody is redirected where they did not register",
        not_here=NO_CODES,
    ),
    "A28": Attack(
        "authentik CVE-2024-52287",
        "no scope is granted that was not held",
        (
            f"{OAUTH}::test_a_narrower_scope_is_granted_and_a_wider_one_refused",
            f"{KEYS}::test_an_exchange_gives_no_more_than_the_key",
            f"{AT_THE_DOOR}::test_a28_a_refresh_grants_no_scope_that_its_person_does_not_hold",
        ),
    ),
    "A29": Attack(
        "Keycloak CVE-2024-4629, ZITADEL CVE-2023-47111",
        "parallel guesses buy five looks",
        (
            f"{LOCKOUT}::test_two_hundred_guesses_at_once_buy_five",
            f"{LOCKOUT}::test_two_hundred_guesses_at_the_change_of_a_password_buy_five",
            f"{LOCKOUT}::test_guesses_at_every_door_at_once_buy_five_together",
        ),
    ),
    "A30": Attack(
        "Authelia CVE-2025-24806",
        "every spelling of an e-mail shares one counter",
        (f"{LOCKOUT}::test_every_spelling_of_an_e_mail_shares_one_counter",),
    ),
    "A31": Attack(
        "VilnaCRM #476, ezauth #196",
        "attempts do not extend a lock, and sessions go on",
        (
            f"{LOCKOUT}::test_a_lock_ends_after_its_time_and_attempts_do_not_extend_it",
            f"{LOCKOUT}::test_existing_sessions_go_on_while_the_account_is_locked",
            f"{LOCKOUT}::test_strangers_do_not_lock_out_a_device_the_owner_has_used",
        ),
    ),
    "A32": Attack(
        "Spring CVE-2025-22228, Okta 2024",
        "bcrypt's 72 bytes are a prefix once, and then no more",
        (f"{PASSWORDS}::test_a_bcrypt_hash_opens_by_its_first_72_bytes_and_becomes_argon2_of_all",),
    ),
    "A33": Attack(
        "Keycloak #48888, #29346",
        "unknown, wrong, locked and disabled answer alike, in bytes and in time",
        (
            "attacks/test_same_answer.py"
            "::test_no_account_is_told_from_another_by_the_bytes_of_the_answer",
            "attacks/test_same_answer.py"
            "::test_no_account_is_told_from_another_by_the_time_of_the_answer",
        ),
    ),
    "A34": Attack(
        "Litestar CVE-2025-59152, authentik CVE-2024-47070",
        "a forged address makes no new budget",
        (
            f"{LIMITS}::test_a_forged_header_makes_no_new_budget",
            f"{LIMITS}::test_what_is_no_address_counts_against_the_proxy_that_sent_it",
        ),
    ),
    "A35": Attack(
        "neon #7316, rustdesk #13070",
        "a /64 is one caller, a mapped address the IPv4 one",
        (
            f"{LIMITS}::test_a_thousand_addresses_of_one_v6_network_are_one_caller",
            f"{LIMITS}::test_a_mapped_v4_address_is_the_v4_caller",
        ),
    ),
    "A36": Attack(
        "Keycloak #28477, alexedwards/argon2id #35",
        "hashing is bounded, and hanging up frees nothing",
        (
            f"{PASSWORDS}::test_a_full_queue_sheds_with_503_and_says_when_to_come_back",
            f"{PASSWORDS}::test_one_who_hangs_up_frees_nothing_before_the_hash_is_done",
            f"{PASSWORDS}::test_a_hash_we_do_not_obey_is_refused_and_never_opens",
        ),
    ),
    "A37": Attack(
        "kitaru #927",
        "hostile bytes are the sender's fault",
        (
            "attacks/test_hostile_bytes.py::test_hostile_values_in_every_member_of_every_body",
            "attacks/test_hostile_bytes.py::test_hostile_values_in_every_parameter_of_every_form",
            "attacks/test_hostile_bytes.py::test_hostile_values_in_every_parameter_of_every_query",
            "attacks/test_hostile_bytes.py::test_hostile_bodies_on_every_route",
            "attacks/test_hostile_bytes.py::test_hostile_headers_on_every_route",
            "attacks/test_hostile_bytes.py::test_hostile_paths_queries_and_methods",
        ),
    ),
    "A38": Attack(
        "better-auth CVE-2025-61928, ZITADEL CVE-2025-27507",
        "no member that is not one's to set; another's objects do not exist",
        (
            "attacks/test_mass_assignment.py"
            "::test_what_is_nobody_s_to_set_is_refused_by_name_on_every_route",
            "attacks/test_walls.py"
            "::test_every_door_with_a_foreign_object_answers_like_one_with_none",
            "attacks/test_walls.py::test_lists_show_only_one_s_own",
        ),
    ),
    "A39": Attack(
        "ZITADEL CVE-2025-64101",
        "the host that is asked for changes nothing",
        (
            "attacks/test_hostile_bytes.py::test_the_host_that_is_asked_for_changes_nothing",
            "conformance/test_metadata.py"
            "::test_section_3_2_it_is_json_and_never_made_from_the_request",
            f"{AT_THE_DOOR}::test_a39_a_link_that_is_mailed_leads_to_the_issuer_whoever_was_asked",
        ),
    ),
    "A40": Attack(
        "ZITADEL CVE-2024-47000, authentik CVE-2025-64521",
        "what is disabled is dead on every worker, memories included",
        (
            f"{PEOPLE}::test_a_disabled_account_is_dead_everywhere",
            f"{PEOPLE}::test_a_disabled_organization_is_silent",
            f"{KEYS}::test_every_end_of_a_key_kills_it_and_its_tokens_at_every_door",
            "system/test_api_keys.py::test_the_last_acceptance_anywhere_is_within_a_second",
        ),
    ),
    "A41": Attack(
        "authentik CVE-2024-52307",
        "a guess at a secret is not told by its time over HTTP (the metrics take no token)",
        (
            "attacks/test_api_keys.py::test_the_time_does_not_tell_them_apart",
            "architecture/test_comparisons.py::test_a41_no_proof_is_compared_by_equality",
        ),
    ),
    "A42": Attack(
        "redis-py CVE-2023-28859",
        "a cancelled question leaves no answer to another",
        ("attacks/test_cancelled.py::test_nobody_reads_the_answer_to_another_question",),
    ),
    "A43": Attack(
        "Litestar CVE-2026-25480",
        "two names never share a place in a memory",
        (
            "flows/shared/test_api_key_check.py"
            "::test_two_keys_whose_public_ids_share_all_but_a_letter_both_work",
            "domain/ratelimits/test_budgets.py::test_buckets_and_subjects_do_not_share",
        ),
    ),
    "A44": Attack(
        "potpie #674, renfield PR 1297",
        "a wrong master key does not start; a ciphertext elsewhere does not open",
        (
            "system/test_processes.py::test_a_wrong_master_key_refuses_to_start_with_one_line",
            "kernel/test_seal.py::test_a_ciphertext_moved_elsewhere_does_not_open",
            "flows/vault/test_master_keys.py"
            "::test_a_rotation_moves_everything_to_the_new_key_and_the_old_one_may_go",
        ),
    ),
    "A45": Attack(
        "rekorderlig #111, jruby PR 1216",
        "a COMMIT is never tried again; a lost one is 503",
        (
            "kernel/test_postgres.py"
            "::test_a_connection_lost_before_the_commit_is_unavailable_and_the_next_one_works",
            "http/test_every_answer.py"
            "::test_without_postgresql_it_is_503_with_retry_after_and_never_401",
        ),
    ),
    "A46": Attack(
        "request smuggling, reproduced",
        "bytes that can be read as two requests are refused",
        (
            "attacks/test_smuggling.py::test_it_is_refused_and_the_connection_is_over",
            "attacks/test_smuggling.py"
            "::test_of_a_length_and_chunks_the_chunks_count_and_nothing_is_read_behind_them",
        ),
    ),
}

MODULES: dict[str, Attack] = {
    "oidcc-discovery-endpoint-verification": Attack(
        "Config OP",
        "the metadata is true",
        (
            "conformance/test_metadata.py::test_section_2_the_members_that_are_demanded",
            "conformance/test_metadata.py"
            "::test_section_2_every_endpoint_it_names_is_under_the_issuer_and_answers",
        ),
    ),
    "oidcc-server-rotate-keys": Attack(
        "Config OP",
        "the new key is there and the old one still",
        (
            "flows/keys/test_keys.py"
            "::test_a_key_is_published_signs_retires_and_is_removed_at_one_moment_for_all",
        ),
    ),
    "oidcc-server-client-secret-post": Attack(
        "Basic OP",
        "a client may say its secret in the form",
        (f"{OAUTH}::test_client_secret_post_works",),
    ),
    "oidcc-refresh-token": Attack(
        "Basic OP",
        "rotation, its retry, and another client's token",
        (
            f"{REFRESH}::test_a_retry_within_the_grace_is_given_the_same_successor",
            f"{OAUTH}::test_the_console_refreshes_by_form_and_no_other_client_may",
            f"{WIRE}::test_rfc_6749_appendix_a_tokens_are_made_of_letters_that_may_stand_in_one",
        ),
    ),
    "oidcc-ensure-request-with-unknown-parameter-succeeds": Attack(
        "Basic OP",
        "what nobody knows is ignored, what is empty was left out (at the token endpoint)",
        (
            f"{WIRE}::test_oauth_2_1_section_3_2_a_parameter_nobody_knows_is_ignored",
            f"{WIRE}::test_oauth_2_1_section_3_2_an_empty_parameter_counts_as_left_out",
        ),
    ),
    "oidcc-ensure-post-request-succeeds": Attack(
        "Basic OP",
        "a form in the body, and nothing in the address",
        (
            f"{WIRE}::test_oauth_2_1_section_3_2_the_token_endpoint_takes_post_alone",
            f"{WIRE}::test_rfc_6749_section_5_1_an_answer_is_json_and_stored_by_nobody",
        ),
    ),
    "oidcc-userinfo-get-and-header": Attack(
        "Basic OP",
        "a token is shown in the header, and a bad one is told so (there is no userinfo: /auth/me)",
        (
            f"{WIRE}::test_rfc_9700_section_4_3_2_a_token_elsewhere_than_in_the_header_is_none",
            f"{WIRE}"
            "::test_rfc_6750_section_3_who_is_refused_is_told_the_scheme_and_that_the_token_is_bad",
        ),
    ),
    "fapi2-access-token-type-header-case-sensitivity": Attack(
        "FAPI2 Security Profile",
        "the scheme is read in any case",
        (f"{WIRE}::test_rfc_9110_section_11_1_the_scheme_is_read_in_any_case",),
    ),
    "fapi2-refresh-token": Attack(
        "FAPI2 Security Profile",
        "a retry after a lost answer works",
        ("system/test_rotation.py::test_a_lost_answer_retried_within_the_grace_continues",),
    ),
    "fapi2-client-assertions": Attack(
        "FAPI2 Security Profile",
        "an assertion identifies once, in time, for this audience",
        (
            f"{OAUTH}::test_a_signed_assertion_identifies_once",
            f"{OAUTH}::test_the_clocks_of_clients_may_be_ten_seconds_off",
            f"{OAUTH}::test_an_assertion_that_proves_nothing_is_refused",
            f"{OAUTH}::test_an_assertion_under_another_key_is_refused",
        ),
    ),
    "oidcc-code-and-redirect-modules": Attack(
        "Basic OP, FAPI2", "codes, PKCE, redirects, prompts", not_here=NO_CODES
    ),
    "oidcc-idtoken-userinfo-logout-modules": Attack(
        "Basic OP, RP-initiated and back-channel logout",
        "ID tokens, userinfo, logout by redirect",
        not_here="OpenID Connect is not advertised: no ID token is issued",
    ),
}
"""Modules of the OpenID conformance suite that apply today, from their published requirement."""
