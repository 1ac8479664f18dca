//! What every driver of the storage port must do, told through the port alone.
//!
//! A driver's tests expand [`conformance!`](crate::conformance) once; each case gets an empty store of its own. A
//! fault found in one driver becomes a case here.

// Cases are called through the macro, from this crate and from others.
#![allow(missing_docs, clippy::missing_panics_doc, reason = "a case's name says what is promised")]

pub mod announcements;
pub mod artifacts;
pub mod claims;
pub mod dependencies;
pub mod documents;
pub mod ends;
pub mod history;
pub mod leases;
pub mod lists;
pub mod model;
pub mod nodes;
pub mod questions;
pub mod races;
pub mod retention;
pub(crate) mod scene;
pub mod schedules;
pub mod shut;
pub mod submits;
pub mod waits;

pub use scene::Place;

/// Expands every case into a test. The argument is an expression for a new [`Place`] with an empty store.
#[macro_export]
macro_rules! conformance {
    ($place:expr) => {
        $crate::conformance! { @cases $place;
            submits::a_submitted_job_reads_back_as_it_was_answered,
            submits::a_long_spec_is_kept_word_for_word,
            submits::numbers_and_versions_count_up_from_one,
            submits::what_does_not_exist_is_absent,
            submits::the_same_key_gives_the_same_job,
            submits::the_same_key_for_something_else_is_a_conflict,
            submits::keys_of_different_principals_are_apart,
            submits::principals_of_one_name_share_their_keys,
            submits::concurrent_submits_of_one_key_make_one_job,
            submits::a_taken_id_is_refused_and_changes_nothing,
            submits::a_submit_with_room_takes_whoever_is_first,
            waits::a_job_for_later_waits_until_its_time,
            waits::due_jobs_are_queued_in_the_order_of_their_times,
            waits::a_time_that_has_passed_is_no_wait,
            claims::a_claim_takes_no_more_than_it_has_room_for,
            claims::the_highest_priority_goes_first_then_the_oldest,
            claims::a_queue_lends_no_more_places_than_it_has,
            claims::a_paused_queue_gives_nothing_and_holds_up_no_other,
            claims::queues_are_made_when_first_named_and_keep_their_limits,
            claims::limits_hold_after_the_store_was_opened_again,
            claims::a_queue_that_was_idle_keeps_its_limit_and_takes_its_turn,
            claims::concurrent_claims_take_each_job_once,
            claims::a_long_line_keeps_its_order_while_others_join_and_leave,
            claims::a_position_counts_those_who_come_before,
            claims::a_position_is_counted_to_a_hundred,
            claims::a_job_given_back_takes_its_old_place_with_a_new_number,
            claims::a_job_that_leaves_the_line_with_a_claim_does_not_stand_in_its_way,
            claims::a_report_with_room_claims_even_when_it_is_refused,
            claims::the_queue_with_the_fewest_running_goes_first,
            claims::what_a_job_requires_the_holder_must_have,
            claims::what_jobs_require_holds_after_the_store_was_opened_again,
            claims::a_claim_that_rides_along_takes_what_its_holder_may,
            claims::a_draining_node_takes_nothing,
            leases::late_reports_are_refused_and_change_nothing,
            leases::a_finished_job_takes_no_event_at_all,
            leases::a_renewal_reaches_every_live_lease_of_its_holder_and_no_other,
            leases::a_renewed_job_can_still_be_reported_on,
            leases::live_jobs_are_those_with_a_lease,
            leases::leases_run_out_one_by_one_whoever_holds_them,
            leases::a_holder_is_given_up_only_when_its_lease_has_run_out,
            leases::a_holder_whose_lease_ran_out_may_report_until_it_is_given_up,
            leases::of_many_that_give_a_holder_up_one_is_heard,
            ends::a_failed_attempt_is_followed_by_another_after_its_wait,
            ends::without_leave_to_retry_a_lost_attempt_ends_the_job,
            ends::a_job_can_be_cancelled_in_every_state,
            ends::what_successes_took_is_remembered_up_to_a_limit,
            ends::what_nothing_was_learned_of_for_long_is_forgotten,
            questions::a_question_is_kept_word_for_word_with_the_state_that_waits_for_it,
            questions::several_questions_are_answered_one_by_one,
            questions::the_first_of_many_answers_stands,
            questions::concurrent_answers_to_several_questions_all_count,
            questions::what_the_job_does_not_wait_for_takes_no_answer,
            questions::a_name_or_key_that_was_used_is_refused,
            questions::questions_are_closed_when_their_attempt_is_over,
            questions::a_later_attempt_asks_anew,
            questions::questions_run_out_at_their_deadlines,
            questions::open_questions_are_paged_in_the_order_of_asking,
            questions::everything_asked_is_there_after_opening_again,
            questions::questions_go_with_their_job,
            dependencies::a_chain_runs_in_its_order,
            dependencies::a_diamond_waits_for_both_sides,
            dependencies::an_unknown_job_to_wait_for_is_refused,
            dependencies::a_job_that_has_succeeded_need_not_be_waited_for,
            dependencies::a_job_after_a_failed_one_is_accepted_and_ends_blocked,
            dependencies::a_failure_blocks_all_that_hangs_on_it,
            dependencies::more_dependents_than_the_limit_are_told_in_turns,
            dependencies::a_dependent_that_has_ended_is_not_told,
            dependencies::a_job_may_wait_for_others_and_for_its_time,
            history::every_change_leaves_a_line_with_its_detail,
            history::a_refused_event_leaves_no_line,
            history::history_is_read_on_from_any_point,
            history::the_order_of_lines_is_the_order_of_changes,
            history::a_line_is_there_as_soon_as_its_change_was_answered,
            lists::filters_let_through_what_they_say,
            lists::pages_have_no_gaps_or_repeats_while_jobs_arrive,
            lists::counts_are_exact,
            announcements::each_end_is_announced_once_newest_first,
            announcements::a_peek_announces_nothing,
            announcements::what_a_chat_knows_is_left_out_and_not_told_later,
            announcements::chats_and_principals_are_told_apart,
            announcements::concurrent_takers_are_told_each_end_once,
            announcements::ends_of_every_kind_are_announced,
            announcements::what_was_announced_is_known_after_opening_again,
            announcements::a_chat_whose_jobs_were_removed_begins_anew,
            retention::old_jobs_come_oldest_first_without_the_pinned_and_the_unfinished,
            retention::output_that_is_gone_is_noted_once,
            retention::removing_takes_all_that_belongs_to_a_job,
            retention::removing_leaves_the_unfinished_and_the_pinned_alone,
            retention::a_job_is_not_removed_before_its_dependents_were_told,
            retention::a_removed_dependent_is_not_missed,
            retention::numbers_are_never_given_again,
            retention::a_pin_survives_what_happens_to_the_job,
            artifacts::what_a_job_keeps_is_listed_by_name,
            artifacts::names_are_replaced_and_taken_away_in_one_step,
            artifacts::unknown_jobs_keep_nothing,
            artifacts::artifacts_go_with_their_job,
            artifacts::output_that_is_gone_takes_its_artifacts_along,
            artifacts::only_what_no_job_has_is_collected,
            artifacts::what_will_be_unneeded_is_known_before,
            artifacts::what_may_have_been_collected_is_to_be_put_again,
            artifacts::a_collection_is_nobody_elses_until_it_is_taken_over,
            artifacts::keeping_and_collecting_at_once_lose_nothing,
            shut::everything_is_there_after_opening_again,
            shut::a_shut_store_says_so_at_every_verb,
            shut::shutting_finishes_the_writes_under_way,
            shut::waiting_for_others_ends_when_the_store_is_shut,
            shut::a_store_knows_what_it_is,
            nodes::nodes_that_join_are_listed_as_they_said,
            nodes::a_node_is_alive_as_long_as_it_is_heard_of,
            nodes::a_second_process_under_one_name_is_refused_while_the_first_is_alive,
            nodes::of_many_processes_under_one_name_one_joins,
            nodes::nodes_long_gone_are_forgotten,
            nodes::a_secret_is_the_first_that_was_offered,
            schedules::a_schedule_is_written_by_who_saw_its_last_version,
            schedules::names_of_schedules_are_apart_by_principal,
            schedules::schedules_are_due_in_the_order_of_their_times,
            schedules::a_time_makes_one_job_and_moves_the_schedule_on,
            schedules::a_time_that_has_not_come_or_was_used_makes_nothing,
            schedules::a_time_may_be_passed_over,
            schedules::of_many_who_fire_at_once_one_does,
            schedules::a_removed_or_paused_schedule_makes_nothing,
            documents::a_document_is_written_by_who_saw_its_last_version,
            documents::of_many_who_write_a_document_at_once_one_does,
            documents::documents_pass_away_when_their_time_is_over,
            documents::of_too_many_documents_that_pass_away_the_next_to_go_gives_way,
            races::delayed_jobs_fire_once,
            races::questions_run_out_once,
            races::dependents_are_told_once,
            model::random_histories_agree_with_a_plain_model,
        }
    };
    (@cases $place:expr; $($module:ident::$case:ident,)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                let place = $place;
                $crate::conformance::$module::$case(&place).await;
            }
        )*
    };
}
