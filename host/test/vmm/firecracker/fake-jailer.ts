import { writeFile } from "node:fs/promises";

/**
 * The part of the jailer that a driver depends on, and behind it that of Firecracker: a chroot, the pid file, another user, and an API that
 * opens whatever it is given as that user would. In Perl, which needs nothing in its chroot once it runs.
 */
const script = `#!/usr/bin/perl
use strict; use warnings;
use Socket; use POSIX ();
if ($ARGV[0] ne "jailed") {
  my @all = @ARGV;
  my %option;
  while (@ARGV && (my $name = shift @ARGV) ne "--") { $option{$name} = shift @ARGV; }
  my ($uid, $gid) = @option{"--uid", "--gid"};
  my $root = "$option{'--chroot-base-dir'}/firecracker/$option{'--id'}/root";
  -d $root or die "no $root\\n";
  for my $directory ("$root/dev", "$root/run") {
    mkdir $directory; chmod 0700, $directory; chown $uid, $gid, $directory;
  }
  system("cp", $option{"--exec-file"}, "$root/firecracker") == 0 or die "cannot copy\\n";
  open my $args, ">", "$root/jailer-arguments" or die; print $args join("\\n", @all); close $args;
  # Only now: the arguments are then those of Firecracker.
  exec $^X, $0, "jailed", $root, $uid, $gid, "--id", $option{"--id"}, @ARGV or die;
}
my (undef, $root, $uid, $gid, undef, $id, @rest) = @ARGV;
chroot $root or die "chroot: $!"; chdir "/";
open my $pid, ">", "/firecracker.pid" or die; print $pid $$; close $pid;
open my $log, ">>", "/requests" or die; select((select($log), $| = 1)[0]);
chown $uid, $gid, "/";
$) = "$gid $gid"; $( = $gid;
POSIX::setuid($uid);
POSIX::setuid(0) and $< != 0 and die "still root\\n";
my $path = $rest[1];
$| = 1;
print STDOUT "fake console\\n";
socket(my $server, PF_UNIX, SOCK_STREAM, 0) or die;
bind($server, pack_sockaddr_un($path)) or die "bind $path: $!";
listen($server, 5) or die;
sub usable {
  my ($mode, $file) = @_;
  return 1 if open my $handle, $mode, $file;
  return;
}
while (accept(my $client, $server)) {
  my ($head, $body) = ("", "");
  while ($head !~ /\\r\\n\\r\\n/) { sysread($client, my $piece, 65536) or last; $head .= $piece; }
  ($head, $body) = split /\\r\\n\\r\\n/, $head, 2;
  my ($length) = $head =~ /content-length: (\\d+)/i;
  while (length($body) < ($length // 0)) { sysread($client, my $piece, 65536) or last; $body .= $piece; }
  my ($line) = split /\\r\\n/, $head;
  print $log "$line $body\\n";
  my @problems;
  for my $file ($body =~ /"(?:kernel_image_path|initrd_path)":"([^"]*)"/g) {
    push @problems, "$file: $!" unless usable("<", $file);
    push @problems, "$file can be written" if usable("+<", $file);
  }
  for my $file ($body =~ /"(?:log_path|metrics_path|path_on_host)":"([^"]*)"/g) {
    my $only = $body =~ /"is_read_only":true/;
    push @problems, "$file: $!" unless usable($only ? "<" : "+<", $file);
  }
  if (my ($file) = $body =~ /"uds_path":"([^"]*)"/) {
    socket(my $vsock, PF_UNIX, SOCK_STREAM, 0) or die;
    bind($vsock, pack_sockaddr_un($file)) or push @problems, "$file: $!";
  }
  my $fault = join ", ", @problems;
  my $text = $fault eq "" ? "" : qq({"fault_message": "$fault"});
  my $status = $fault eq "" ? "204 No Content" : "400 Bad Request";
  syswrite $client, "HTTP/1.1 $status\\r\\nContent-Length: " . length($text) . "\\r\\n\\r\\n$text";
  close $client;
}
`;

/** An executable jailer in a directory. */
export async function fakeJailer(directory: string): Promise<string> {
  const path = `${directory}/jailer`;
  await writeFile(path, script, { mode: 0o755 });
  return path;
}
