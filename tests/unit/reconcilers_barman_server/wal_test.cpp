#include "reconcilers/support/wal.h"

#include <gtest/gtest.h>

namespace roadstead::reconcilers {
namespace {

TEST(Lsn, IsReadAndWrittenAsPostgresqlWritesIt) {
  EXPECT_EQ(parse_lsn("3A/7F000110"), Lsn{0x3A7F000110});
  EXPECT_EQ(format_lsn(0x3A7F000110), "3A/7F000110");
  EXPECT_EQ(format_lsn(0), "0/0");
  for (const char* bad : {"", "/", "3A", "3A/", "/1", "g/1", "123456789/0", "1/123456789", "1/2/3"})
    EXPECT_FALSE(parse_lsn(bad)) << bad;
}

TEST(WalSegment, NameAndNumberBelongTogetherForEverySegmentSize) {
  EXPECT_EQ(segment_name(segment_of(1, 0x3A7F000110)), "000000010000003A0000007F");
  const std::uint64_t small = 1 << 20;
  EXPECT_EQ(segment_name(segment_of(2, 0x3A7F000110, small), small), "000000020000003A000007F0");
  const auto parsed = parse_segment("000000010000003A0000007F");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(segment_name(*parsed), "000000010000003A0000007F");
}

TEST(WalSegment, OtherFilesOfTheArchiveAreNone) {
  for (const char* name : {"00000002.history", "000000010000003A0000007F.partial", "000000000000003A0000007F",
                           "000000010000003A000000FFX", "000000010000003A00000100", ""})
    EXPECT_FALSE(parse_segment(name)) << name;
}

TEST(Gaps, OfAWholeArchiveAreNoneEvenAcrossTheEndOfALogFile) {
  const WalListing present{
      {"0000000100000000000000FE", "0000000100000000000000FF", "000000010000000100000000"}, {}, {}};
  const auto gaps = find_gaps("0000000100000000000000FE", "000000010000000100000000", present);
  ASSERT_TRUE(gaps);
  EXPECT_TRUE(gaps->empty());
}

TEST(Gaps, AreNamedByTheirFirstAndLastMissingSegment) {
  const WalListing present{
      {"000000010000000000000001", "000000010000000000000004", "000000010000000000000006"}, {}, {}};
  const auto gaps = find_gaps("000000010000000000000001", "000000010000000000000007", present);
  ASSERT_TRUE(gaps);
  EXPECT_EQ(*gaps, (std::vector<WalGap>{{"000000010000000000000002", "000000010000000000000003", 2},
                                        {"000000010000000000000005", "000000010000000000000005", 1},
                                        {"000000010000000000000007", "000000010000000000000007", 1}}));
  EXPECT_EQ(describe(gaps->front()), "000000010000000000000002 to 000000010000000000000003 (2 segments)");
}

TEST(Gaps, FollowATimelineSwitchByItsHistoryFile) {
  WalListing present{
      {"000000010000000000000002", "000000010000000000000003", "000000020000000000000003", "000000020000000000000004"},
      {},
      {{2, "1\t0/3000158\tno recovery target specified\n"}}};
  auto gaps = find_gaps("000000010000000000000002", "000000020000000000000004", present);
  ASSERT_TRUE(gaps);
  EXPECT_TRUE(gaps->empty());
  present.segments.erase("000000020000000000000003");
  gaps = find_gaps("000000010000000000000002", "000000020000000000000004", present);
  ASSERT_TRUE(gaps);
  ASSERT_EQ(gaps->size(), 1u) << "the segment in which timeline 1 was left is read from timeline 2";
  EXPECT_EQ(gaps->front().first, "000000020000000000000003");
}

TEST(Gaps, FromATimelineThatWasLeftBeforeTheBeginHaveNoWayToTheEnd) {
  // Production was itself restored: timeline 2 goes on from segment 3, the base backup began on timeline 1 at 5.
  WalListing present{{"000000010000000000000005", "000000010000000000000006", "000000020000000000000003",
                      "000000020000000000000004", "000000020000000000000005", "000000020000000000000006"},
                     {},
                     {{2, "1\t0/3000158\tno recovery target specified\n"}}};
  auto gaps = find_gaps("000000010000000000000005", "000000020000000000000006", present);
  ASSERT_FALSE(gaps) << "segment by segment nothing is missing";
  EXPECT_NE(gaps.error().message.find("timeline 2"), std::string::npos);
  gaps = find_gaps("000000010000000000000005", "000000020000000000000004", present);
  ASSERT_FALSE(gaps);
  EXPECT_NE(gaps.error().message.find("timeline 2"), std::string::npos) << "that is the cause, not the order";
  EXPECT_TRUE(find_gaps("000000010000000000000003", "000000020000000000000006", present));
  present.histories[3] = "2\t0/4000000\tx\n";
  EXPECT_FALSE(find_gaps("000000010000000000000003", "000000030000000000000006", present))
      << "timeline 1 is not among its ancestors";
}

TEST(Timelines, TheNewestBeginsWhereItsHistoryEnds) {
  EXPECT_FALSE(newest_fork({}));
  const auto fork = newest_fork({{}, {}, {{2, "1\t0/3000158\tx\n"}, {3, "1\t0/3000158\tx\n\n2\t0/7000000\ty\n"}}});
  ASSERT_TRUE(fork);
  EXPECT_EQ(segment_name(*fork), "000000030000000000000007");
}

TEST(Gaps, AcrossTimelinesWithoutTheirHistoryAreNotGuessed) {
  const auto gaps = find_gaps("000000010000000000000002", "000000020000000000000004", {});
  ASSERT_FALSE(gaps);
  EXPECT_EQ(gaps.error().kind, ErrorKind::NotFound);
  EXPECT_FALSE(find_gaps("000000010000000000000004", "000000010000000000000002", {})) << "the end before the begin";
  EXPECT_FALSE(find_gaps("x", "000000010000000000000002", {}));
}

}  // namespace
}  // namespace roadstead::reconcilers
